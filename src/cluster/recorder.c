/* The legion-record file. Must not depend on server.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cluster/recorder.h"

#include "legatus/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 10000

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void rest(struct lg_recorder *recorder, const char *why)
{
    lg_log(LG_LOG_WARN, "legion", "%s: legion-record: %s: %s: nothing is recorded for %d s",
        recorder->legion, recorder->path, why, PAUSE_MS / 1000);
    recorder->again_ms = now_ms() + PAUSE_MS;
    recorder->is_broken = true;
}

/* ---- The file --------------------------------------------------------------------- */

/* Another node's records between ours would be of no use to anybody. */
static bool lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) == 0)
        return true;
    if (errno == EACCES)
        errno = EAGAIN;
    return false;
}

/* What an earlier life has left there stays. */
static bool open_file(struct lg_recorder *recorder)
{
    struct stat seen;
    int fd = open(
        recorder->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd >= 0 && fstat(fd, &seen) == 0 && S_ISREG(seen.st_mode) && lock(fd)) {
        recorder->fd = fd;
        recorder->size = (uint64_t)seen.st_size;
        recorder->is_broken = true;
        return true;
    }
    rest(recorder, fd >= 0 && errno == EAGAIN ? "another node uses it" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return false;
}

/* The newer half becomes the older one, and a new one begins. */
static bool turn_over(struct lg_recorder *recorder)
{
    char old[PATH_MAX + 8];
    snprintf(old, sizeof old, "%s.old", recorder->path);
    close(recorder->fd);
    recorder->fd = -1;
    if (rename(recorder->path, old) == 0)
        return open_file(recorder);
    rest(recorder, strerror(errno));
    return false;
}

static bool append(struct lg_recorder *recorder, const char *bytes, size_t size)
{
    ssize_t written = write(recorder->fd, bytes, size);
    if (written > 0)
        recorder->size += (uint64_t)written;
    if (written == (ssize_t)size)
        return true;
    rest(recorder, written < 0 ? strerror(errno) : "no room is left");
    return false;
}

/* ---- Recording ------------------------------------------------------------------------ */

static void put_state(struct lg_recorder *recorder, const struct lg_legion *core)
{
    size_t size = lg_record_state(core, recorder->state, recorder->state_size);
    recorder->is_broken = size == 0 || !append(recorder, recorder->state, size);
}

/* Steps are read from a state on: where some are missing, the next one begins. */
static void begin(struct lg_recorder *recorder, const struct lg_legion *core)
{
    if (recorder->fd < 0 && !open_file(recorder))
        return;
    if (recorder->size < recorder->size_max || turn_over(recorder))
        put_state(recorder, core);
}

static void check_speed(struct lg_recorder *recorder, int64_t began_ms)
{
    int64_t took_ms = now_ms() - began_ms;
    if (took_ms < recorder->slow_ms || recorder->again_ms > began_ms)
        return;
    char why[64];
    snprintf(why, sizeof why, "a write took %lld ms", (long long)took_ms);
    rest(recorder, why);
}

void lg_recorder_step(struct lg_recorder *recorder, const struct lg_legion *core,
    const struct lg_legion_event *event, const struct lg_legion_update *update)
{
    char record[LG_RECORD_STEP_MAX];
    if (!recorder->path[0])
        return;
    int64_t began_ms = now_ms();
    if (began_ms < recorder->again_ms)
        return;
    if (recorder->is_broken) {
        begin(recorder, core);
    } else {
        size_t size = lg_record_step(core, event, update, record, sizeof record);
        recorder->is_broken = size == 0 || !append(recorder, record, size);
        if (recorder->size >= recorder->size_max)
            begin(recorder, core);
    }
    check_speed(recorder, began_ms);
}

/* ---- Begin and end ------------------------------------------------------------------------ */

void lg_recorder_open(struct lg_recorder *recorder, const char *folder, const char *legion,
    const struct lg_legion *core, uint64_t size_max, int64_t slow_ms)
{
    *recorder = (struct lg_recorder){.fd = -1, .size_max = size_max / 2, .slow_ms = slow_ms};
    if (!folder)
        return;
    snprintf(recorder->legion, sizeof recorder->legion, "%s", legion);
    struct stat seen;
    int len = snprintf(recorder->path, sizeof recorder->path - 8, "%s/%s.ring", folder, legion);
    recorder->state_size = lg_record_state_size(core);
    recorder->state = malloc(recorder->state_size);
    if (stat(folder, &seen) != 0 || !S_ISDIR(seen.st_mode) || strchr(legion, '/') || len < 0 ||
        (size_t)len >= sizeof recorder->path - 8 || !recorder->state) {
        lg_log(LG_LOG_ERROR, "legion", "%s: legion-record: \"%s\": expected a folder that is there",
            legion, folder);
        lg_recorder_close(recorder);
        return;
    }
    begin(recorder, core);
}

void lg_recorder_close(struct lg_recorder *recorder)
{
    if (recorder->fd >= 0)
        close(recorder->fd);
    free(recorder->state);
    *recorder = (struct lg_recorder){.fd = -1};
}
