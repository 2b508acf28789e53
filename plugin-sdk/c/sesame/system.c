//! The system calls of the C library: what is written to standard output and error goes to
//! the plugin's log, time and random numbers are those of the message, waiting takes no time, and there are no files, no
//! environment and no input. Only what a plugin uses becomes part of its component.
//!
//! The definitions are weak: where a plugin uses more of the system, such as sockets, the library's own take their place,
//! and what is missing is named when the component is made. zig's C library takes its own always, so that there `printf`
//! is such a use; giving up and `assert` are not.
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <wasi/api.h>

#include "private.h"

#define ANSWER __attribute__((weak))

enum { STDOUT = 1, STDERR = 2 };

static void write_to(wasi_io_streams_own_output_stream_t stream, const uint8_t *bytes, size_t length) {
    contract_list_u8_t list = {(uint8_t *)bytes, length};
    wasi_io_streams_stream_error_t error;
    wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &list,
                                                                  &error);
    wasi_io_streams_output_stream_drop_own(stream);
}

void sesame_tell(const char *text) {
    write_to(wasi_cli_stderr_get_stderr(), (const uint8_t *)text, strlen(text));
}

/// What `assert` calls.
_Noreturn void __assert_fail(const char *condition, const char *file, int line, const char *function) {
    (void)function;
    sesame_panic_at(file, line, "assertion failed: %s", condition);
}

ANSWER __wasi_errno_t __wasi_fd_write(__wasi_fd_t descriptor, const __wasi_ciovec_t *chunks, size_t count,
                                      __wasi_size_t *written) {
    if (descriptor != STDOUT && descriptor != STDERR) return __WASI_ERRNO_BADF;
    *written = 0;
    for (size_t at = 0; at < count; at++) {
        *written += chunks[at].buf_len;
        if (!chunks[at].buf_len) continue;
        write_to(descriptor == STDOUT ? wasi_cli_stdout_get_stdout() : wasi_cli_stderr_get_stderr(), chunks[at].buf,
                 chunks[at].buf_len);
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

/// The standard streams are called terminals, so that the C library writes each line when it ends.
ANSWER __wasi_errno_t __wasi_fd_fdstat_get(__wasi_fd_t descriptor, __wasi_fdstat_t *status) {
    if (descriptor > STDERR) return __WASI_ERRNO_BADF;
    *status = (__wasi_fdstat_t){.fs_filetype = __WASI_FILETYPE_CHARACTER_DEVICE};
    return __WASI_ERRNO_SUCCESS;
}

ANSWER _Noreturn void __wasi_proc_exit(__wasi_exitcode_t status) {
    (void)status;
    __builtin_trap();
}

/// How long the plugin has waited, nanoseconds: monotonic time jumps by it.
static uint64_t waited;

ANSWER __wasi_errno_t __wasi_clock_time_get(__wasi_clockid_t clock, __wasi_timestamp_t precision,
                                            __wasi_timestamp_t *time) {
    (void)precision;
    if (clock == __WASI_CLOCKID_REALTIME) {
        wasi_clocks_wall_clock_datetime_t now;
        wasi_clocks_wall_clock_now(&now);
        *time = now.seconds * 1000000000 + now.nanoseconds;
    } else {
        *time = wasi_clocks_monotonic_clock_now() + waited;
    }
    return __WASI_ERRNO_SUCCESS;
}

ANSWER __wasi_errno_t __wasi_clock_res_get(__wasi_clockid_t clock, __wasi_timestamp_t *resolution) {
    (void)clock;
    *resolution = 1000000;
    return __WASI_ERRNO_SUCCESS;
}

/// `sleep`, `poll`: what is waited for happens at once.
ANSWER __wasi_errno_t __wasi_poll_oneoff(const __wasi_subscription_t *wanted, __wasi_event_t *events,
                                         __wasi_size_t count, __wasi_size_t *happened) {
    for (__wasi_size_t at = 0; at < count; at++) {
        events[at] = (__wasi_event_t){.userdata = wanted[at].userdata, .type = wanted[at].u.tag};
        bool timer = wanted[at].u.tag == __WASI_EVENTTYPE_CLOCK;
        if (timer && !(wanted[at].u.u.clock.flags & __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME))
            waited += wanted[at].u.u.clock.timeout;
    }
    *happened = count;
    return __WASI_ERRNO_SUCCESS;
}

ANSWER __wasi_errno_t __wasi_random_get(uint8_t *bytes, __wasi_size_t length) {
    contract_list_u8_t list;
    wasi_random_random_get_random_bytes(length, &list);
    memcpy(bytes, list.ptr, length);
    contract_list_u8_free(&list);
    return __WASI_ERRNO_SUCCESS;
}

ANSWER __wasi_errno_t __wasi_environ_sizes_get(__wasi_size_t *count, __wasi_size_t *size) {
    *count = *size = 0;
    return __WASI_ERRNO_SUCCESS;
}

ANSWER __wasi_errno_t __wasi_environ_get(uint8_t **names, uint8_t *text) {
    (void)names, (void)text;
    return __WASI_ERRNO_SUCCESS;
}

/// Standard input has ended.
ANSWER __wasi_errno_t __wasi_fd_read(__wasi_fd_t descriptor, const __wasi_iovec_t *chunks, size_t count,
                                     __wasi_size_t *length) {
    (void)descriptor, (void)chunks, (void)count;
    *length = 0;
    return __WASI_ERRNO_SUCCESS;
}

/// There is no directory to look for files in.
ANSWER __wasi_errno_t __wasi_fd_prestat_get(__wasi_fd_t descriptor, __wasi_prestat_t *answer) {
    (void)descriptor, (void)answer;
    return __WASI_ERRNO_BADF;
}

ANSWER __wasi_errno_t __wasi_fd_prestat_dir_name(__wasi_fd_t descriptor, uint8_t *name, __wasi_size_t length) {
    (void)descriptor, (void)name, (void)length;
    return __WASI_ERRNO_BADF;
}

ANSWER __wasi_errno_t __wasi_fd_fdstat_set_flags(__wasi_fd_t descriptor, __wasi_fdflags_t flags) {
    (void)descriptor, (void)flags;
    return __WASI_ERRNO_BADF;
}

ANSWER __wasi_errno_t __wasi_fd_filestat_get(__wasi_fd_t descriptor, __wasi_filestat_t *answer) {
    (void)descriptor, (void)answer;
    return __WASI_ERRNO_BADF;
}

ANSWER __wasi_errno_t __wasi_fd_readdir(__wasi_fd_t descriptor, uint8_t *names, __wasi_size_t length,
                                        __wasi_dircookie_t from, __wasi_size_t *used) {
    (void)descriptor, (void)names, (void)length, (void)from, (void)used;
    return __WASI_ERRNO_BADF;
}

ANSWER __wasi_errno_t __wasi_path_open(__wasi_fd_t descriptor, __wasi_lookupflags_t follow, const char *path,
                                       __wasi_oflags_t how, __wasi_rights_t base, __wasi_rights_t inheriting,
                                       __wasi_fdflags_t flags, __wasi_fd_t *opened) {
    (void)descriptor, (void)follow, (void)path, (void)how, (void)base, (void)inheriting, (void)flags, (void)opened;
    return __WASI_ERRNO_NOENT;
}

ANSWER __wasi_errno_t __wasi_path_filestat_get(__wasi_fd_t descriptor, __wasi_lookupflags_t follow, const char *path,
                                               __wasi_filestat_t *answer) {
    (void)descriptor, (void)follow, (void)path, (void)answer;
    return __WASI_ERRNO_NOENT;
}

ANSWER __wasi_errno_t __wasi_path_create_directory(__wasi_fd_t descriptor, const char *path) {
    (void)descriptor, (void)path;
    return __WASI_ERRNO_ROFS;
}

ANSWER __wasi_errno_t __wasi_path_unlink_file(__wasi_fd_t descriptor, const char *path) {
    (void)descriptor, (void)path;
    return __WASI_ERRNO_NOENT;
}

ANSWER __wasi_errno_t __wasi_path_remove_directory(__wasi_fd_t descriptor, const char *path) {
    (void)descriptor, (void)path;
    return __WASI_ERRNO_NOENT;
}

ANSWER __wasi_errno_t __wasi_path_readlink(__wasi_fd_t descriptor, const char *path, uint8_t *text, __wasi_size_t length,
                                           __wasi_size_t *used) {
    (void)descriptor, (void)path, (void)text, (void)length, (void)used;
    return __WASI_ERRNO_NOENT;
}

ANSWER __wasi_errno_t __wasi_path_rename(__wasi_fd_t descriptor, const char *path, __wasi_fd_t to, const char *name) {
    (void)descriptor, (void)path, (void)to, (void)name;
    return __WASI_ERRNO_NOENT;
}

ANSWER __wasi_errno_t __wasi_path_link(__wasi_fd_t descriptor, __wasi_lookupflags_t follow, const char *path,
                                       __wasi_fd_t to, const char *name) {
    (void)descriptor, (void)follow, (void)path, (void)to, (void)name;
    return __WASI_ERRNO_NOENT;
}

ANSWER __wasi_errno_t __wasi_path_symlink(const char *path, __wasi_fd_t descriptor, const char *name) {
    (void)path, (void)descriptor, (void)name;
    return __WASI_ERRNO_ROFS;
}

ANSWER __wasi_errno_t __wasi_path_filestat_set_times(__wasi_fd_t descriptor, __wasi_lookupflags_t follow,
                                                     const char *path, __wasi_timestamp_t accessed,
                                                     __wasi_timestamp_t changed, __wasi_fstflags_t flags) {
    (void)descriptor, (void)follow, (void)path, (void)accessed, (void)changed, (void)flags;
    return __WASI_ERRNO_NOENT;
}
