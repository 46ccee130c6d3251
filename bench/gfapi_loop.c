/* The yardstick: files read through libgfapi by a plain loop on N threads, with
 * no server in front. Each thread looks a file up, reads it to the end and lets
 * it go, over and over. Built and run by bench/gluster; depends on nothing of ours.
 *
 *   gfapi_loop HOST PORT VOLUME FOLDER FILES SIZE THREADS SECONDS
 *
 * Reads FOLDER/0 to FOLDER/FILES-1, SIZE bytes each, for so many seconds (0: each
 * file once), and prints one JSON object: requests, errors, seconds. With THREADS
 * given as "30+" each file is treated as a server must that neither leaks what it may
 * not read nor passes on half of a change: may I read it, and is it as it was?
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <glusterfs/api/glfs-handles.h>
#include <glusterfs/api/glfs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_SIZE  ((size_t)1 << 20)
#define THREADS_MAX 256

struct run {
    glfs_t *volume;
    const char *folder;
    long files;
    long size; /* bytes of each file */
    bool once;
    bool careful;
    atomic_long next; /* where each is read once */
    atomic_bool stop;
};

struct loop {
    pthread_t thread;
    struct run *run;
    long next; /* file to begin with, so that threads differ */
    long requests;
    long errors;
};

/* Reads one file as a server must: to its end. 0, or -1. */
static int read_file(struct run *run, const char *path, char *chunk)
{
    struct stat st;
    struct glfs_object *object = glfs_h_lookupat(run->volume, NULL, path, &st, 1);
    long got = 0;

    if (!object) {
        return -1;
    }
    while (got < st.st_size) {
        ssize_t n = glfs_h_anonymous_read(run->volume, object, chunk, CHUNK_SIZE, got);

        if (n <= 0) {
            break;
        }
        got += n;
    }
    if (run->careful) {
        struct stat after;

        if (glfs_h_access(run->volume, object, R_OK) != 0 ||
            glfs_h_stat(run->volume, object, &after) != 0 || after.st_mtime != st.st_mtime) {
            got = -1;
        }
    }
    glfs_h_close(object);
    return got == run->size ? 0 : -1;
}

static void *loop_main(void *arg)
{
    struct loop *loop = arg;
    struct run *run = loop->run;
    char *chunk = malloc(CHUNK_SIZE);
    char path[4096];

    while (chunk && !atomic_load(&run->stop)) {
        long file = run->once ? atomic_fetch_add(&run->next, 1) : loop->next++ % run->files;

        if (file >= run->files) {
            break;
        }
        snprintf(path, sizeof(path), "%s/%ld", run->folder, file);
        if (read_file(run, path, chunk) == 0) {
            loop->requests++;
        } else {
            loop->errors++;
        }
    }
    free(chunk);
    return NULL;
}

static glfs_t *open_volume(const char *host, int port, const char *name, bool careful)
{
    glfs_t *volume = glfs_new(name);

    if (!volume || glfs_set_volfile_server(volume, "tcp", host, port) != 0) {
        return NULL;
    }
    glfs_set_logging(volume, "/dev/null", 0);
    if (careful) { /* as Legatus has it: asks bricks, not gfapi's memory of them, itself */
        glfs_set_xlator_option(volume, "*", "md-cache-timeout", "0");
        glfs_set_xlator_option(volume, "*-md-cache", "pass-through", "on");
        glfs_set_xlator_option(volume, "*-io-threads", "pass-through", "on");
    }
    return glfs_init(volume) == 0 ? volume : NULL;
}

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Runs the loops and prints what they did. 0, or -1 when a thread did not start. */
static int measure(struct run *run, unsigned threads, double seconds)
{
    struct loop loops[THREADS_MAX] = {0};
    unsigned started = 0;
    long requests = 0;
    long errors = 0;
    double began = now_s();

    for (; started < threads; started++) {
        loops[started].run = run;
        loops[started].next = (long)started * 7;
        if (pthread_create(&loops[started].thread, NULL, loop_main, &loops[started]) != 0) {
            break;
        }
    }
    if (!run->once) {
        usleep((useconds_t)(seconds * 1e6));
        atomic_store(&run->stop, true);
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(loops[i].thread, NULL);
        requests += loops[i].requests;
        errors += loops[i].errors;
    }
    printf("{\"requests\": %ld, \"errors\": %ld, \"seconds\": %.3f}\n", requests, errors,
        now_s() - began);
    fflush(stdout);
    return started == threads ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct run run = {0};
    int result;

    if (argc != 9) {
        fprintf(stderr, "usage: %s HOST PORT VOLUME FOLDER FILES SIZE THREADS SECONDS\n", argv[0]);
        return 2;
    }
    run.folder = argv[4];
    run.files = strtol(argv[5], NULL, 10);
    run.size = strtol(argv[6], NULL, 10);
    unsigned threads = (unsigned)strtoul(argv[7], NULL, 10);
    double seconds = strtod(argv[8], NULL);

    run.once = seconds == 0;
    run.careful = strchr(argv[7], '+');
    if (run.files <= 0 || threads == 0 || threads > THREADS_MAX || !(seconds >= 0)) {
        fprintf(
            stderr, "%s: files and threads (at most %d) must be positive\n", argv[0], THREADS_MAX);
        return 2;
    }
    run.volume = open_volume(argv[1], atoi(argv[2]), argv[3], run.careful);
    if (!run.volume) {
        perror("gfapi_loop: the volume cannot be opened");
        return 1;
    }
    result = measure(&run, threads, seconds);
    /* glfs_fini takes ten seconds and gives nothing back that exit does not. */
    _exit(result == 0 ? 0 : 1);
}
