/* A broken machine for the fault stories, put before the C library with LD_PRELOAD.
 *
 * TENURE_SHIM names a directory. A file in it breaks something, for as long as it is there:
 *   fsync     fsync and fdatasync fail with EIO,
 *   nospace   writes fail with ENOSPC,
 *   readonly  writes, and opening for writing, fail with EROFS;
 *             each only on files whose path contains the file's text,
 *   clock     the clock is so many seconds ahead (or behind, if negative).
 * The product knows nothing of it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Reads a trigger; 0 if it is not there. Raw system calls, since ours stand before open and read. */
static int trigger(const char *name, char *text, size_t size) {
    const char *directory = getenv("TENURE_SHIM");
    char path[4096];
    if (!directory) return 0;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int kept = errno;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) { errno = kept; return 0; }
    long length = syscall(SYS_read, fd, text, size - 1);
    syscall(SYS_close, fd);
    errno = kept;
    if (length < 0) length = 0;
    text[length] = 0;
    return 1;
}

static int path_is_hit(const char *name, const char *path) {
    char text[1024];
    return trigger(name, text, sizeof text) && strstr(path, text) != NULL;
}

static int is_hit(const char *name, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int kept = errno;
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = kept;
    if (length < 0) return 0;
    path[length] = 0;
    return path_is_hit(name, path);
}

static int write_fails(int fd) {
    if (is_hit("nospace", fd)) { errno = ENOSPC; return 1; }
    if (is_hit("readonly", fd)) { errno = EROFS; return 1; }
    return 0;
}

int fsync(int fd) {
    if (is_hit("fsync", fd)) { errno = EIO; return -1; }
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    if (is_hit("fsync", fd)) { errno = EIO; return -1; }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (write_fails(fd)) return -1;
    return syscall(SYS_write, fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (write_fails(fd)) return -1;
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    if (write_fails(fd)) return -1;
    return syscall(SYS_pwrite64, fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (write_fails(fd)) return -1;
    return syscall(SYS_pwrite64, fd, bytes, count, at);
}

static int opened(int directory, const char *path, int flags, mode_t mode) {
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && path_is_hit("readonly", path)) {
        errno = EROFS;
        return -1;
    }
    return (int)syscall(SYS_openat, directory, path, flags, mode);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    char text[64];
    if (result == 0 && clock == CLOCK_REALTIME && trigger("clock", text, sizeof text))
        now->tv_sec += atol(text);
    return result;
}
