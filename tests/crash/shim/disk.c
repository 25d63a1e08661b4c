/*
 * A disk that fails, and one that forgets: preloaded into a server (LD_PRELOAD), it stands between it and the files
 * below CRASH_DIRECTORY.
 *
 * CRASH_TRIGGER names a file. While it exists and holds "KIND ERRNO AFTER", all calls of the kind (w: writes, s: syncs)
 * but for the first AFTER fail with this errno. The first write to fail is a short one.
 *
 * CRASH_SHADOW names a directory in which the synced state is kept: files/NAME is what NAME held when it was last
 * synced, entries are the names that the directory had when that was last synced. A test that kills the server and puts
 * this back has seen the power go.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { FILES = 32, NAME = 4096 };

/* What was written to a file since it was last synced. */
struct dirty {
    char name[256];
    off_t from, to;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct dirty table[FILES];
static long calls;

static ssize_t real_pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return syscall(SYS_pwrite64, fd, bytes, count, at);
}

/* The name of a file in the directory, "" for the directory itself, null for others. */
static const char *name_of(int fd, char *path) {
    const char *directory = getenv("CRASH_DIRECTORY");
    char link[64];
    if (!directory) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, NAME - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    size_t above = strlen(directory);
    if (strncmp(path, directory, above)) return NULL;
    if (!path[above]) return path + above;
    return path[above] == '/' ? path + above + 1 : NULL;
}

/* The errno with which this call is to fail, and how many have before it; 0 is none. */
static int fault(char kind, long *failed) {
    const char *trigger = getenv("CRASH_TRIGGER");
    char text[64], wanted;
    int number;
    long after;
    if (!trigger) return 0;
    int fd = syscall(SYS_openat, AT_FDCWD, trigger, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    ssize_t length = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    text[length > 0 ? length : 0] = 0;
    if (sscanf(text, "%c %d %ld", &wanted, &number, &after) != 3 || wanted != kind) return 0;
    pthread_mutex_lock(&lock);
    long call = calls++;
    pthread_mutex_unlock(&lock);
    *failed = call - after;
    return call >= after ? number : 0;
}

static void note(const char *name, off_t at, ssize_t count) {
    if (count <= 0) return;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < FILES; i++) {
        struct dirty *file = &table[i];
        if (!file->name[0]) {
            snprintf(file->name, sizeof file->name, "%s", name);
            file->from = at, file->to = at + count;
            break;
        }
        if (strcmp(file->name, name)) continue;
        if (file->to <= file->from) {
            file->from = at, file->to = at + count;
        } else {
            if (at < file->from) file->from = at;
            if (at + count > file->to) file->to = at + count;
        }
        break;
    }
    pthread_mutex_unlock(&lock);
}

static void keep_entries(const char *path, const char *shadow) {
    char list[2 * NAME], ready[2 * NAME];
    snprintf(list, sizeof list, "%s/entries.new", shadow);
    snprintf(ready, sizeof ready, "%s/entries", shadow);
    FILE *out = fopen(list, "w");
    DIR *directory = opendir(path);
    if (!out || !directory) abort();
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.') fprintf(out, "%s\n", entry->d_name);
    closedir(directory);
    fclose(out);
    rename(list, ready);
}

static void keep_content(const char *name, const char *path, const char *shadow) {
    char copy[2 * NAME], buffer[65536];
    struct stat state;
    snprintf(copy, sizeof copy, "%s/files/%s", shadow, name);
    int from = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    int to = syscall(SYS_openat, AT_FDCWD, copy, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (from < 0 || fstat(from, &state)) abort();
    if (S_ISDIR(state.st_mode)) {
        /* Of directories below the one nothing is kept. */
        syscall(SYS_close, from);
        return;
    }
    if (to < 0) abort();
    pthread_mutex_lock(&lock);
    for (int i = 0; i < FILES; i++) {
        struct dirty *file = &table[i];
        if (strcmp(file->name, name)) continue;
        for (off_t at = file->from; at < file->to;) {
            size_t most = file->to - at < (off_t)sizeof buffer ? (size_t)(file->to - at) : sizeof buffer;
            ssize_t count = pread(from, buffer, most, at);
            if (count <= 0) break;
            real_pwrite(to, buffer, count, at);
            at += count;
        }
        file->from = file->to = 0;
    }
    pthread_mutex_unlock(&lock);
    if (syscall(SYS_ftruncate, to, state.st_size)) abort();
    syscall(SYS_close, from);
    syscall(SYS_close, to);
}

static int synced(int fd, long call) {
    char path[NAME];
    long failed;
    const char *name = name_of(fd, path);
    int number = name ? fault('s', &failed) : 0;
    if (number) {
        errno = number;
        return -1;
    }
    int result = syscall(call, fd);
    const char *shadow = getenv("CRASH_SHADOW");
    if (!result && name && shadow) {
        if (*name) keep_content(name, path, shadow);
        else keep_entries(path, shadow);
    }
    return result;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }

int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* How much of a write is let through; -1 with errno when it fails. */
static ssize_t allowed(const char *name, size_t count) {
    long failed;
    int number = name ? fault('w', &failed) : 0;
    if (!number) return count;
    if (!failed && count > 1) return count / 2;
    errno = number;
    return -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    char path[NAME];
    const char *name = name_of(fd, path);
    ssize_t most = allowed(name, count);
    if (most < 0) return most;
    ssize_t written = real_pwrite(fd, bytes, most, at);
    if (name) note(name, at, written);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

ssize_t write(int fd, const void *bytes, size_t count) {
    char path[NAME];
    const char *name = name_of(fd, path);
    ssize_t most = allowed(name, count);
    if (most < 0) return most;
    off_t at = name ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t written = syscall(SYS_write, fd, bytes, most);
    if (name) note(name, at, written);
    return written;
}
