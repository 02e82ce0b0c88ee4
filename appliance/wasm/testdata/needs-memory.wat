;; Passes if it can have 4 more pages of memory, else it refuses.
(module (memory (export "memory") 1) (func (export "buffer") (result i32) (i32.const 0))
  (func (export "inspect") (param i32 i32) (result i64)
    (if (result i64) (i32.eq (memory.size) (i32.const 5))
      (then (i64.const 0))
      (else (if (result i64) (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then (i64.const 0x0502)) (else (i64.const 0)))))))
