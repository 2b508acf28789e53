//! What the C library asks of a system, answered as the host grants it: standard error is what the operator reads when
//! the plugin gives up, all the rest is not there.
//!
//! The definitions are weak: where a plugin uses more of the system, such as files or clocks, the library's own take
//! their place, and what is missing is named when the component is made. zig's C library takes its own always, so that
//! there `printf` is such a use; giving up and `assert` are not.
#include <stdint.h>
#include <stdnoreturn.h>
#include <string.h>
#include <wasi/api.h>

#include "private.h"

#define ANSWER __attribute__((weak))

enum { STDOUT = 1, STDERR = 2 };

static void write_chunk(const uint8_t *bytes, size_t length) {
    wasi_cli_stderr_own_output_stream_t stream = wasi_cli_stderr_get_stderr();
    contract_list_u8_t list = {(uint8_t *)bytes, length};
    wasi_io_streams_stream_error_t error;
    wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &list,
                                                                  &error);
    wasi_io_streams_output_stream_drop_own(stream);
}

void sesame_tell(const char *text) {
    write_chunk((const uint8_t *)text, strlen(text));
}

/// What `assert` calls.
noreturn void __assert_fail(const char *condition, const char *file, int line, const char *function) {
    (void)function;
    sesame_panic_at(file, line, "assertion failed: %s", condition);
}

ANSWER __wasi_errno_t __wasi_fd_write(__wasi_fd_t descriptor, const __wasi_ciovec_t *chunks, size_t count,
                                      __wasi_size_t *written) {
    if (descriptor != STDOUT && descriptor != STDERR) return __WASI_ERRNO_BADF;
    *written = 0;
    for (size_t at = 0; at < count; at++) {
        *written += chunks[at].buf_len;
        if (chunks[at].buf_len) write_chunk(chunks[at].buf, chunks[at].buf_len);
    }
    return __WASI_ERRNO_SUCCESS;
}

ANSWER __wasi_errno_t __wasi_fd_close(__wasi_fd_t descriptor) {
    (void)descriptor;
    return __WASI_ERRNO_SUCCESS;
}

ANSWER __wasi_errno_t __wasi_fd_seek(__wasi_fd_t descriptor, __wasi_filedelta_t offset, __wasi_whence_t whence,
                                     __wasi_filesize_t *size) {
    (void)descriptor, (void)offset, (void)whence, (void)size;
    return __WASI_ERRNO_SPIPE;
}

ANSWER __wasi_errno_t __wasi_fd_fdstat_get(__wasi_fd_t descriptor, __wasi_fdstat_t *status) {
    (void)descriptor, (void)status;
    return __WASI_ERRNO_BADF;
}

ANSWER _Noreturn void __wasi_proc_exit(__wasi_exitcode_t status) {
    (void)status;
    __builtin_trap();
}
