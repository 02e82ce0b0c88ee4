;; Does as the first letter of the name says: l loops, t traps, h takes memory until there is none and writes beyond, r recurses, j gives what is no verdict, w fails
;; only once it has counted 3 questions, d drops, n NXDOMAIN, o passes once. Other names pass.
(module
  (memory (export "memory") 1)
  (global $asked (mut i32) (i32.const 0))
  (func (export "buffer") (result i32) (i32.const 0))
  (func $deeper (param $n i32) (result i32) (i32.add (call $deeper (i32.add (local.get $n) (i32.const 1))) (local.get $n)))
  (func (export "inspect") (param $q i32) (param $n i32) (result i64)
    (local $letter i32)
    (global.set $asked (i32.add (global.get $asked) (i32.const 1)))
    (local.set $letter (i32.load8_u offset=37 (local.get $q)))
    (if (i32.eq (local.get $letter) (i32.const 0x6C)) (then (loop $l (br $l))))
    (if (i32.eq (local.get $letter) (i32.const 0x74)) (then (unreachable)))
    (if (i32.eq (local.get $letter) (i32.const 0x68))
      (then
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (i32.store8 (i32.mul (memory.size) (i32.const 65536)) (i32.const 1))))
    (if (i32.eq (local.get $letter) (i32.const 0x72)) (then (drop (call $deeper (i32.const 0)))))
    (if (i32.eq (local.get $letter) (i32.const 0x6A)) (then (return (i64.const 0x80000000))))
    (if (i32.and (i32.eq (local.get $letter) (i32.const 0x77)) (i32.ge_u (global.get $asked) (i32.const 3))) (then (unreachable)))
    (if (i32.eq (local.get $letter) (i32.const 0x64)) (then (return (i64.const 3))))
    (if (i32.eq (local.get $letter) (i32.const 0x6E)) (then (return (i64.const 0x0302))))
    (if (i32.eq (local.get $letter) (i32.const 0x6F)) (then (return (i64.const 1))))
    (i64.const 0)))
