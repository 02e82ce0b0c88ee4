;; A worked example of an inspection module: refuses what DNS tunnels look like, TXT and NULL questions with names of 100 bytes and more, and counts how
;; many each instance has refused.
;;
;;   wat2wasm tunnels.wat -o tunnels.wasm        (Debian: wabt)
;;   secure-dns-proxy --config proxy.toml --check
;;
;; proxy.toml:  [inspect]
;;              kind = "wasm"
;;              module = "/etc/secure-dns-proxy/tunnels.wasm"
;;
;; The bytes of a question are in worker/inspect/question.go, verdicts in verdict.go.
(module
  (memory (export "memory") 1)
  (global $refused (mut i32) (i32.const 0))

  ;; Questions are written to address 1024.
  (func (export "buffer") (result i32) (i32.const 1024))

  (func (export "inspect") (param $question i32) (param $length i32) (result i64)
    (local $type i32)
    ;; Byte 6: the length of the name. Below 100 bytes: pass, which is 0.
    (if (i32.lt_u (i32.load8_u offset=6 (local.get $question)) (i32.const 100))
      (then (return (i64.const 0))))
    ;; Bytes 2 and 3: the type. TXT is 16, NULL 10; others pass.
    (local.set $type (i32.load16_u offset=2 (local.get $question)))
    (if (i32.and (i32.ne (local.get $type) (i32.const 16)) (i32.ne (local.get $type) (i32.const 10)))
      (then (return (i64.const 0))))
    (global.set $refused (i32.add (global.get $refused) (i32.const 1)))
    ;; Action 2, an answer without records; RCODE 5, REFUSED.
    (i64.const 0x0502)))
