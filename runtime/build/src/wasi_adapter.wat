;; WASI preview 1 for core modules that need it (Go's, C's), made of nothing but the contract's `log`: an adapter that
;; `wit-component` puts beside the module. A component made with it imports no WASI, so it sees nothing of the machine, and
;; a garbage collector that reads the clock within `cabi_realloc`, where a component must not call out, does no harm.
;;
;; - Standard output and standard error are lines of the log, of level `info` and `warn`; `error`, where one says why Go's runtime
;;   gives up, `panic: …` or `fatal error: …`. A line that is written in pieces is
;;   gathered in a buffer, if the module lends one by `tidewheel_line_buffer`; else each piece is a line of its own.
;; - The end of the program is a trap. A module that tells where it keeps the record at hand, by `tidewheel_end`, has that one
;;   blamed: when Go's runtime says why it gives up, as no more can be run after that; and when the program ends without such a
;;   line. If no record is at hand, that is a line of the log, too: the host takes the last one of level `error` as the reason.
;; - The real-time clock stands where the last `tidewheel_begin_call` has set it, or at 1970. The monotonic one goes on a
;;   microsecond with each reading, and by what is slept.
;; - Random bytes are SplitMix64's, by Sebastiano Vigna, from the last call's seed. The host makes them in the same way for
;;   components that do import WASI.
;; - There are no arguments, no environment, no files and no sockets. What asks for them gets an error number.
;;
;; The three functions named `tidewheel_…` are imported from `wasi_snapshot_preview1` by the SDK, like the others.
(module
  (import "tidewheel:operator/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  (import "tidewheel:operator/log@0.1.0" "blame" (func $blame (param i32 i32 i32)))
  (import "env" "memory" (memory 0))

  (global $real (mut i64) (i64.const 0))
  (global $monotonic (mut i64) (i64.const 0))
  (global $seed (mut i64) (i64.const 0x2545F4914F6CDD1D))
  ;; The line that is being written, and to which file descriptor.
  (global $line (mut i32) (i32.const 0))
  (global $line_max (mut i32) (i32.const 0))
  (global $line_len (mut i32) (i32.const 0))
  (global $line_fd (mut i32) (i32.const 0))
  ;; Where the index of the record at hand is, an s64, below 0 none; and what is said of it when the program ends. 0: not told.
  (global $record (mut i32) (i32.const 0))
  (global $reason (mut i32) (i32.const 0))
  (global $reason_len (mut i32) (i32.const 0))
  ;; Whether the runtime has said in this call why it gives up.
  (global $said (mut i32) (i32.const 0))

  ;; What the SDK tells.

  (func (export "tidewheel_begin_call") (param $now_ms i64) (param $seed i64)
    (global.set $real
      (select (i64.mul (local.get $now_ms) (i64.const 1000000)) (i64.const 0) (i64.gt_s (local.get $now_ms) (i64.const 0))))
    (global.set $seed (local.get $seed))
    (global.set $said (i32.const 0)))

  (func (export "tidewheel_line_buffer") (param $line i32) (param $max i32)
    (global.set $line (local.get $line))
    (global.set $line_max (local.get $max))
    (global.set $line_len (i32.const 0)))

  (func (export "tidewheel_end") (param $record i32) (param $reason i32) (param $len i32)
    (global.set $record (local.get $record))
    (global.set $reason (local.get $reason))
    (global.set $reason_len (local.get $len)))

  ;; What bindings of Go call around an allocation. The clock calls nobody here, so it need not be stopped.
  (func (export "adapter_monotonic_clock_set_paused") (param i32))

  ;; Lines.

  ;; Whether a line begins with `panic: ` or `fatal error: `, and goes on.
  (func $is_reason (param $start i32) (param $len i32) (result i32)
    (if (i32.le_u (local.get $len) (i32.const 7)) (then (return (i32.const 0))))
    (if
      (i32.and
        (i32.eq (i32.load align=1 (local.get $start)) (i32.const 0x696e6170))
        (i32.eq (i32.load offset=3 align=1 (local.get $start)) (i32.const 0x203a6369)))
      (then (return (i32.const 1))))
    (if (i32.le_u (local.get $len) (i32.const 13)) (then (return (i32.const 0))))
    (i32.and
      (i64.eq (i64.load align=1 (local.get $start)) (i64.const 0x7265206c61746166))
      (i64.eq (i64.load offset=5 align=1 (local.get $start)) (i64.const 0x203a726f72726520))))

  ;; Blames the record at hand; 0: there is none.
  (func $blame_for (param $reason i32) (param $len i32) (result i32)
    (if (i32.eqz (global.get $record)) (then (return (i32.const 0))))
    (if (i64.lt_s (i64.load (global.get $record)) (i64.const 0)) (then (return (i32.const 0))))
    (call $blame (i32.wrap_i64 (i64.load (global.get $record))) (local.get $reason) (local.get $len))
    (i32.const 1))

  (func $write_line (param $fd i32) (param $start i32) (param $len i32)
    (local $level i32)
    (local.set $level (select (i32.const 2) (i32.const 1) (i32.eq (local.get $fd) (i32.const 1))))
    (if (i32.eq (local.get $fd) (i32.const 2))
      (then
        (if (call $is_reason (local.get $start) (local.get $len))
          (then
            (global.set $said (i32.const 1))
            (local.set $level (i32.const 0))
            (drop (call $blame_for (local.get $start) (local.get $len)))))))
    (if (local.get $len)
      (then (call $log (local.get $level) (i32.const 0) (i32.const 0) (local.get $start) (local.get $len)))))

  (func $flush
    (call $write_line (global.get $line_fd) (global.get $line) (global.get $line_len))
    (global.set $line_len (i32.const 0)))

  ;; A piece of a line; it fits into the buffer.
  (func $gather (param $fd i32) (param $start i32) (param $len i32)
    (if (i32.ne (global.get $line_fd) (local.get $fd)) (then (call $flush)))
    (if (i32.gt_u (i32.add (global.get $line_len) (local.get $len)) (global.get $line_max)) (then (call $flush)))
    (global.set $line_fd (local.get $fd))
    (memory.copy (i32.add (global.get $line) (global.get $line_len)) (local.get $start) (local.get $len))
    (global.set $line_len (i32.add (global.get $line_len) (local.get $len))))

  ;; Where the line that starts here ends: at a line feed or at `end`.
  (func $line_end (param $at i32) (param $end i32) (result i32)
    (block $found (loop $next
      (br_if $found (i32.ge_u (local.get $at) (local.get $end)))
      (br_if $found (i32.eq (i32.load8_u (local.get $at)) (i32.const 10)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
    (local.get $at))

  (func $write (param $fd i32) (param $start i32) (param $len i32)
    (local $end i32) (local $stop i32) (local $piece i32) (local $fits i32)
    (local.set $end (i32.add (local.get $start) (local.get $len)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $start) (local.get $end)))
      (local.set $stop (call $line_end (local.get $start) (local.get $end)))
      (local.set $piece (i32.sub (local.get $stop) (local.get $start)))
      (local.set $fits (i32.le_u (local.get $piece) (global.get $line_max)))
      (if (i32.lt_u (local.get $stop) (local.get $end))
        (then
          ;; The line is complete.
          (if (i32.and (i32.ne (global.get $line_len) (i32.const 0)) (local.get $fits))
            (then
              (call $gather (local.get $fd) (local.get $start) (local.get $piece))
              (call $flush))
            (else
              (call $flush)
              (call $write_line (local.get $fd) (local.get $start) (local.get $piece)))))
        (else
          (if (i32.and (i32.ne (global.get $line_max) (i32.const 0)) (local.get $fits))
            (then (call $gather (local.get $fd) (local.get $start) (local.get $piece)))
            (else
              (call $flush)
              (call $write_line (local.get $fd) (local.get $start) (local.get $piece))))))
      (local.set $start (i32.add (local.get $stop) (i32.const 1)))
      (br $next))))

  (func (export "fd_write") (param $fd i32) (param $iov i32) (param $count i32) (param $written i32) (result i32)
    (local $sum i32)
    (if (i32.or (i32.lt_s (local.get $fd) (i32.const 1)) (i32.gt_s (local.get $fd) (i32.const 2)))
      (then (return (i32.const 8))))
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $count)))
      (call $write (local.get $fd) (i32.load (local.get $iov)) (i32.load offset=4 (local.get $iov)))
      (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $iov))))
      (local.set $iov (i32.add (local.get $iov) (i32.const 8)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $next)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))

  ;; The end of the program is a trap: an instance that has ended cannot be called again.
  (func $end
    (call $flush)
    (if (i32.and (i32.eqz (global.get $said)) (i32.ne (global.get $reason_len) (i32.const 0)))
      (then
        (if (i32.eqz (call $blame_for (global.get $reason) (global.get $reason_len)))
          (then
            (call $log (i32.const 0) (i32.const 0) (i32.const 0) (global.get $reason) (global.get $reason_len))))))
    unreachable)
  (func (export "proc_exit") (param i32) (call $end))
  (func (export "proc_raise") (param i32) (result i32)
    (call $end)
    unreachable)

  ;; Clocks and chance.

  (func (export "clock_time_get") (param $clock i32) (param i64) (param $time i32) (result i32)
    (if (i32.eqz (local.get $clock))
      (then (i64.store (local.get $time) (global.get $real)))
      (else
        (global.set $monotonic (i64.add (global.get $monotonic) (i64.const 1000)))
        (i64.store (local.get $time) (global.get $monotonic))))
    (i32.const 0))
  (func (export "clock_res_get") (param i32) (param $resolution i32) (result i32)
    (i64.store (local.get $resolution) (i64.const 1000))
    (i32.const 0))

  (func $random (result i64) (local $mixed i64)
    (global.set $seed (i64.add (global.get $seed) (i64.const 0x9e3779b97f4a7c15)))
    (local.set $mixed (global.get $seed))
    (local.set $mixed
      (i64.mul
        (i64.xor (local.get $mixed) (i64.shr_u (local.get $mixed) (i64.const 30)))
        (i64.const 0xbf58476d1ce4e5b9)))
    (local.set $mixed
      (i64.mul
        (i64.xor (local.get $mixed) (i64.shr_u (local.get $mixed) (i64.const 27)))
        (i64.const 0x94d049bb133111eb)))
    (i64.xor (local.get $mixed) (i64.shr_u (local.get $mixed) (i64.const 31))))

  (func (export "random_get") (param $at i32) (param $len i32) (result i32)
    (local $end i32) (local $word i64) (local $left i32)
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (if (i32.eqz (local.get $left))
        (then
          (local.set $word (call $random))
          (local.set $left (i32.const 8))))
      (i64.store8 (local.get $at) (local.get $word))
      (local.set $word (i64.shr_u (local.get $word) (i64.const 8)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
    (i32.const 0))

  (func (export "sched_yield") (result i32) (i32.const 0))
  ;; Sleeping moves the monotonic clock on by what is asked for, and nothing has happened meanwhile.
  (func (export "poll_oneoff") (param $in i32) (param i32) (param $count i32) (param $events i32) (result i32)
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $count)))
      (if (i32.and
            (i32.eqz (i32.load8_u offset=8 (local.get $in)))
            (i32.eqz (i32.and (i32.load16_u offset=40 (local.get $in)) (i32.const 1))))
        (then (global.set $monotonic (i64.add (global.get $monotonic) (i64.load offset=24 (local.get $in))))))
      (local.set $in (i32.add (local.get $in) (i32.const 48)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $next)))
    (i32.store (local.get $events) (i32.const 0))
    (i32.const 0))

  ;; No arguments, no environment.

  (func $two_zeros (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $two_zeros (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_sizes_get") (param i32 i32) (result i32) (call $two_zeros (local.get 0) (local.get 1)))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  ;; No files: 8 is a bad file descriptor, 76 a missing capability.

  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_close") (param i32) (result i32) (i32.const 8))
  (func (export "fd_datasync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_renumber") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_tell") (param i32 i32) (result i32) (i32.const 8))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 76))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 76))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 76))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 76))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 76))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 76))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 76))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 76))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 76))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 76))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_recv") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_send") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 8)))
