/* The legion-state file. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/memory.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE "legatus legion-state 1"
#define TEXT_SIZE  512
#define BOOT_ID    "/proc/sys/kernel/random/boot_id"

/* ---- Text ---------------------------------------------------------------------------- */

size_t lg_memory_render(
    const struct lg_legion_memory *memory, const char *boot_id, char *out, size_t size)
{
    int len = snprintf(out, size,
        FIRST_LINE "\nboot %s\nepoch %" PRIu64 "\ncandidate %s\npromise_ms %" PRId64
                   "\necho_us %" PRIu64 "\nuntil_ms %" PRId64 "\nend\n",
        boot_id, memory->epoch, memory->candidate[0] ? memory->candidate : "-", memory->promise_ms,
        memory->echo_us, memory->until_ms);
    return len > 0 && (size_t)len < size ? (size_t)len : 0;
}

/* The value of the next line, which must have that key; ptr NULL = it has not. */
static struct lg_slice value_of(struct lg_slice *rest, struct lg_slice key)
{
    struct lg_slice value, line = lg_slice_cut(*rest, '\n', rest);
    struct lg_slice word = lg_slice_cut(line, ' ', &value);
    return lg_slice_eq(word, key) && value.len ? value : (struct lg_slice){NULL, 0};
}

static bool number_of(
    struct lg_slice *rest, struct lg_slice key, uint64_t max, uint64_t *ret_number)
{
    struct lg_slice value = value_of(rest, key);
    return value.ptr && lg_slice_u64(value, max, ret_number);
}

/* Nothing of a file that was cut short or edited counts: waiting is always right. */
bool lg_memory_parse(struct lg_slice text, const char *boot_id, struct lg_legion_memory *ret_memory)
{
    struct lg_legion_memory memory = {0};
    uint64_t promise_ms, until_ms;
    if (!lg_slice_eq(lg_slice_cut(text, '\n', &text), LG_SLICE(FIRST_LINE)))
        return false;
    struct lg_slice boot = value_of(&text, LG_SLICE("boot"));
    if (!boot.ptr || !number_of(&text, LG_SLICE("epoch"), UINT64_MAX / 4, &memory.epoch))
        return false;
    struct lg_slice candidate = value_of(&text, LG_SLICE("candidate"));
    if (candidate.len == LG_LEGION_UUID_LEN)
        memcpy(memory.candidate, candidate.ptr, candidate.len);
    else if (!lg_slice_eq(candidate, LG_SLICE("-")))
        return false;
    if (!number_of(&text, LG_SLICE("promise_ms"), INT32_MAX, &promise_ms) ||
        !number_of(&text, LG_SLICE("echo_us"), UINT64_MAX, &memory.echo_us) ||
        !number_of(&text, LG_SLICE("until_ms"), INT64_MAX, &until_ms) ||
        !lg_slice_eq(text, LG_SLICE("end\n")))
        return false;
    memory.promise_ms = (int64_t)promise_ms;
    memory.until_ms = (int64_t)until_ms;
    /* The clock it is of stopped with that boot. */
    if (memory.until_ms != 0 && !lg_slice_eq(boot, lg_slice_of(boot_id)))
        memory.until_ms = INT64_MAX;
    *ret_memory = memory;
    return true;
}

/* ---- The file ---------------------------------------------------------------------------- */

static bool read_all(const char *path, char *out, size_t size, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, out, size);
    close(fd);
    if (len < 0)
        return false;
    *ret_len = (size_t)len;
    return true;
}

static bool read_boot_id(char out[LG_BOOT_ID_SIZE])
{
    size_t len;
    if (!read_all(BOOT_ID, out, LG_BOOT_ID_SIZE - 1, &len) || len != LG_BOOT_ID_SIZE - 1)
        return false;
    out[len] = '\0';
    return true;
}

static bool make_path(struct lg_memory_file *file, const char *where, bool is_only)
{
    struct stat seen;
    bool is_folder = stat(where, &seen) == 0 && S_ISDIR(seen.st_mode);
    int len;
    if (is_folder && strchr(file->legion, '/'))
        return false;
    if (is_folder)
        len = snprintf(file->path, sizeof file->path, "%s/%s.state", where, file->legion);
    else if (is_only && where[0] && where[strlen(where) - 1] != '/')
        len = snprintf(file->path, sizeof file->path, "%s", where);
    else
        return false;
    return len > 0 && (size_t)len + sizeof ".maintenance" < sizeof file->path;
}

/* A lock of the process: what it forks does not hold it, its end lets it go. */
static bool take_lock(struct lg_memory_file *file)
{
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s.lock", file->path);
    file->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return file->lock_fd >= 0 && fcntl(file->lock_fd, F_SETLK, &lock) == 0;
}

void lg_memory_open(
    struct lg_memory_file *file, const char *where, const char *legion, bool is_only)
{
    *file = (struct lg_memory_file){.lock_fd = -1};
    snprintf(file->legion, sizeof file->legion, "%s", legion);
    if (!where)
        return;
    if (!make_path(file, where, is_only)) {
        lg_log(LG_LOG_ERROR, "legion",
            "%s: legion-state: no file \"%s\": expected a folder that is there, or the file of the "
            "only legion",
            legion, where);
    } else if (!read_boot_id(file->boot_id)) {
        lg_log(
            LG_LOG_ERROR, "legion", "%s: legion-state: " BOOT_ID ": %s", legion, strerror(errno));
    } else if (!take_lock(file)) {
        bool is_taken = errno == EAGAIN || errno == EACCES;
        lg_log(LG_LOG_ERROR, "legion", "%s: legion-state: %s.lock: %s", legion, file->path,
            file->lock_fd >= 0 && is_taken ? "another node uses it: expected a file of its own"
                                           : strerror(errno));
    } else {
        return;
    }
    lg_memory_close(file);
}

void lg_memory_close(struct lg_memory_file *file)
{
    if (file->lock_fd >= 0)
        close(file->lock_fd);
    file->lock_fd = -1;
    file->path[0] = '\0';
}

bool lg_memory_read(const struct lg_memory_file *file, struct lg_legion_memory *ret_memory)
{
    char text[TEXT_SIZE];
    size_t len;
    if (!file->path[0])
        return false;
    if (!read_all(file->path, text, sizeof text, &len)) {
        if (errno != ENOENT)
            lg_log(LG_LOG_ERROR, "legion", "%s: legion-state: %s: %s", file->legion, file->path,
                strerror(errno));
        return false;
    }
    if (lg_memory_parse(lg_slice_from(text, len), file->boot_id, ret_memory))
        return true;
    lg_log(LG_LOG_WARN, "legion", "%s: legion-state: %s is damaged: it does not count",
        file->legion, file->path);
    return false;
}

static bool write_synced(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    int why = errno;
    close(fd);
    errno = why;
    return ok;
}

/* A name is on disk once its folder is. */
static bool sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", len ? (int)len : 1, path);
    else
        snprintf(folder, sizeof folder, ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return ok;
}

void lg_memory_write(const struct lg_memory_file *file, const struct lg_legion_memory *memory)
{
    char text[TEXT_SIZE], next[PATH_MAX + 8];
    if (!file->path[0])
        return;
    size_t len = lg_memory_render(memory, file->boot_id, text, sizeof text);
    snprintf(next, sizeof next, "%s.new", file->path);
    if (len && write_synced(next, text, len) && rename(next, file->path) == 0 &&
        sync_folder(file->path))
        return;
    int why = errno;
    unlink(next);
    /* What is there now is older than what is promised. */
    bool is_gone = unlink(file->path) == 0 || errno == ENOENT;
    lg_log(LG_LOG_ERROR, "legion", "%s: legion-state: %s cannot be written: %s: %s", file->legion,
        file->path, strerror(why),
        is_gone ? "removed, the next start waits (legion-start-wait)"
                : "remove it before the next start");
}

/* ---- Maintenance ----------------------------------------------------------------------- */

static void maintenance_path(const struct lg_memory_file *file, char out[PATH_MAX + 16])
{
    snprintf(out, PATH_MAX + 16, "%s.maintenance", file->path);
}

bool lg_memory_maintained(const struct lg_memory_file *file)
{
    char path[PATH_MAX + 16];
    struct stat seen;
    maintenance_path(file, path);
    return file->path[0] && lstat(path, &seen) == 0;
}

bool lg_memory_maintain(const struct lg_memory_file *file, bool on)
{
    char path[PATH_MAX + 16];
    if (!file->path[0])
        return false;
    maintenance_path(file, path);
    bool ok = on ? write_synced(path, "on\n", 3) : unlink(path) == 0 || errno == ENOENT;
    ok = ok && sync_folder(path);
    if (!ok)
        lg_log(LG_LOG_ERROR, "legion", "%s: legion-state: %s: %s", file->legion, path,
            strerror(errno));
    return ok;
}
