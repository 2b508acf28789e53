//! What the C library asks of a system, answered as the host grants it: standard error is what the operator reads when
//! the plugin gives up, all the rest is not there. A function that is missing here, such as one for clocks or files, is
//! named when the component is made.
#include <stdint.h>
#include <stdnoreturn.h>

#include "contract.h"

typedef struct {
    const uint8_t *bytes;
    uint32_t length;
} chunk;

enum { DONE = 0, BAD_DESCRIPTOR = 8, NOT_SUPPORTED = 58, STDOUT = 1, STDERR = 2 };

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t descriptor, int32_t chunks, int32_t count, int32_t written) {
    if (descriptor != STDOUT && descriptor != STDERR) return BAD_DESCRIPTOR;
    uint32_t total = 0;
    wasi_cli_stderr_own_output_stream_t stream = wasi_cli_stderr_get_stderr();
    for (int32_t at = 0; at < count; at++) {
        const chunk *next = (const chunk *)(uintptr_t)chunks + at;
        total += next->length;
        if (!next->length) continue;
        contract_list_u8_t bytes = {(uint8_t *)next->bytes, next->length};
        wasi_io_streams_stream_error_t error;
        if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream),
                                                                           &bytes, &error)) break;
    }
    wasi_io_streams_output_stream_drop_own(stream);
    *(uint32_t *)(uintptr_t)written = total;
    return DONE;
}

int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t descriptor) {
    (void)descriptor;
    return DONE;
}

int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t descriptor, int64_t offset, int32_t whence, int32_t result) {
    (void)descriptor, (void)offset, (void)whence, (void)result;
    return NOT_SUPPORTED;
}

int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t descriptor, int32_t result) {
    (void)descriptor, (void)result;
    return BAD_DESCRIPTOR;
}

noreturn void __imported_wasi_snapshot_preview1_proc_exit(int32_t status) {
    (void)status;
    __builtin_trap();
}
