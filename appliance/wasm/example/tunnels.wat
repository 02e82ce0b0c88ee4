;; A worked example of an inspection module: refuses what DNS tunnels look like. At a miss, TXT and NULL questions with names of 100 bytes and more; at a
;; response, 400 bytes and more of TXT and NULL data. It says so for a minute for the client and the last two labels of the name, so that it is not
;; asked again about every packet of a tunnel, and counts how often each instance has refused.
;;
;;   wat2wasm tunnels.wat -o tunnels.wasm        (Debian: wabt)
;;   secure-dns-proxy --config proxy.toml --check
;;
;; proxy.toml:  [inspect]
;;              kind = "wasm"
;;              module = "/etc/secure-dns-proxy/tunnels.wasm"
;;              points = ["miss", "response"]
;;
;; The bytes of a question are in worker/inspect/question.go, the bits of a verdict in verdict.go.
(module
  (memory (export "memory") 1)
  (global $refused (mut i32) (i32.const 0))

  ;; Questions are written to address 1024.
  (func (export "buffer") (result i32) (i32.const 1024))

  ;; TXT is 16, NULL 10.
  (func $carries (param $type i32) (result i32)
    (i32.or (i32.eq (local.get $type) (i32.const 16)) (i32.eq (local.get $type) (i32.const 10))))

  ;; The bytes of data in TXT and NULL records that are shown.
  (func $payload (param $question i32) (result i32)
    (local $at i32) (local $end i32) (local $sum i32)
    ;; Records come after 36 bytes, the name (its length is byte 6) and the pool's name (byte 7); bytes 32 and 33 are their length.
    (local.set $at (i32.add (i32.add (local.get $question) (i32.const 36))
      (i32.add (i32.load8_u offset=6 (local.get $question)) (i32.load8_u offset=7 (local.get $question)))))
    (local.set $end (i32.add (local.get $at) (i32.load16_u offset=32 (local.get $question))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        ;; A record: type, length of its data, TTL, data.
        (if (call $carries (i32.load16_u (local.get $at)))
          (then (local.set $sum (i32.add (local.get $sum) (i32.load16_u offset=2 (local.get $at))))))
        (local.set $at (i32.add (i32.add (local.get $at) (i32.const 8)) (i32.load16_u offset=2 (local.get $at))))
        (br $next)))
    (local.get $sum))

  (func (export "inspect") (param $question i32) (param $length i32) (result i64)
    ;; Bytes 2 and 3: the type. Other types pass, which is 0.
    (if (i32.eqz (call $carries (i32.load16_u offset=2 (local.get $question)))) (then (return (i64.const 0))))
    ;; Byte 24: the point, 2 at a response. Byte 6: the length of the name.
    (if (i32.eq (i32.load8_u offset=24 (local.get $question)) (i32.const 2))
      (then (if (i32.lt_u (call $payload (local.get $question)) (i32.const 400)) (then (return (i64.const 0)))))
      (else (if (i32.lt_u (i32.load8_u offset=6 (local.get $question)) (i32.const 100)) (then (return (i64.const 0))))))
    (global.set $refused (i32.add (global.get $refused) (i32.const 1)))
    ;; Action 2, an answer without records; RCODE 5, REFUSED; kept for 60 seconds, 2 labels, this client.
    (i64.const 0x3C_4200_0502)))
