/* What the files of the glusterfs plugin share. The plugin serves the files of
 * GlusterFS volumes through libgfapi, without a mount in the kernel.
 *
 * A guest in the house: of ours it includes legatus/plugin.h and nothing else,
 * and its names are gl_verb.
 *
 *   plugin.c   descriptor, options -> struct gl_site, the worker's start
 *   choose.c   which mount a request is for; pure
 *   server.c   server lists; pure
 *   probe.c    which server of a list is alive
 *   mount.c    the thread that connects a mount, and connects it again
 *   session.c  one attempt to connect
 *   queue.c    a thread that runs jobs in order
 *   walk.c     a path -> the file it names inside the volume
 *   access.c   whether a file may be read
 *   status.c   errno -> status; the log lines about a volume coming and going
 *   file.c     the handler: a file -> an answer
 *   body.c     the body of a large file, as a pipeline of reads
 *
 * Threads of a worker: the loop (the `fast` door and body.c's callbacks), the
 * handler threads (the `handle` door), and for each mount one that connects,
 * one that submits reads and one that closes. Functions say which they are for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GL_H
#define GL_H

#include <legatus/plugin.h>

#include <glusterfs/api/glfs-handles.h>
#include <glusterfs/api/glfs.h>

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#define GL_ROOM "glusterfs"

#define GL_DEFAULT_PORT  24007
#define GL_SERVERS_MAX   32
#define GL_MOUNTS_MAX    256
#define GL_INDEXES_MAX   16
#define GL_QUEUE_MAX     1024 /* requests that wait for a mount's turn */
#define GL_RETRY_AFTER_S 1    /* what 503 tells the client to wait */

/* ---- what the configuration says: made by the master, never changed --------- */

struct gl_server {
    char *host; /* name or address; the socket's path when unix_socket */
    uint16_t port;
    bool unix_socket;
    char *text; /* as configured, for logs */
};

struct gl_mount_options {
    const char *mountpoint; /* begins with '/'; ends with one only as "/" */
    size_t mountpoint_len;
    const char *volume;
    const char *volfile; /* NULL = ask the servers */
    struct gl_server *servers;
    size_t server_count;
};

struct gl_site {
    struct gl_mount_options *mounts;
    size_t mount_count;
    char **indexes; /* names that answer for a directory, in order of preference */
    size_t index_count;
    unsigned timeout_ms; /* 0 = none */
    unsigned calls_max;  /* 0 = three quarters of the worker's threads */
    const char *log;     /* gfapi's own log; NULL = none */
    bool no_default_app;
    struct gl_mount *running; /* mount_count of them; only in a worker, after start */
};

/* ---- choose.c: any thread ----------------------------------------------------- */

struct gl_choice {
    const struct gl_mount_options *mount;
    const char *path; /* the rest of path_info, to be opened in the volume; may be "" */
    bool cut;         /* the mountpoint was cut off path_info */
};

/* What a request says about itself; NULL = nothing. */
struct gl_asked {
    const char *appid;
    const char *script_name;
    const char *path_info;
    bool manages_script_name;
};

/* false when no mount is meant. */
bool gl_choose(
    const struct gl_site *site, const struct gl_asked *asked, struct gl_choice *ret_choice);

/* ---- server.c: any thread ------------------------------------------------------ */

/* Reads "host:port;[v6]:port;/unix/socket". 0, or -1 with a reason in `why`. */
int gl_servers_parse(const char *text, struct gl_server **ret_servers, size_t *ret_count, char *why,
    size_t why_size);
void gl_servers_free(struct gl_server *servers, size_t count);

/* ---- probe.c --------------------------------------------------------------------- */

struct gl_probe; /* opaque; lives as long as its mount's thread */

struct gl_probe *gl_probe_new(const struct gl_server *servers, size_t count);
/* Blocks, at most about 3 s: asks the servers, beginning with `first`, a
 * quarter of a second apart, for any answer of the management protocol. The
 * index of the first that answers, or -1. */
int gl_probe_run(struct gl_probe *probe, size_t first);
/* Whether the i-th server failed in the last run (false: it answered, or was
 * not asked), and why, as a text for logs. */
bool gl_probe_why(struct gl_probe *probe, size_t i, char *ret_why, size_t why_size);

/* ---- queue.c ----------------------------------------------------------------------- */

struct gl_job {
    struct gl_job *next;
    void (*run)(struct gl_job *job);
};

struct gl_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct gl_job *head;
    struct gl_job **tail;
};

/* Starts the thread, with every signal blocked; it lives as long as the
 * process. 0 or -1. */
int gl_queue_start(struct gl_queue *queue, const char *thread_name);
/* Any thread. The job is the queue's until it runs. */
void gl_queue_add(struct gl_queue *queue, struct gl_job *job);
/* Starts fn(arg) on a detached thread with every signal blocked. 0 or -1. */
int gl_thread_start(const char *name, void *(*fn)(void *arg), void *arg);
int64_t gl_now_ms(void); /* monotonic */

/* ---- mount.c, session.c, walk.c
 * ------------------------------------------------------------------ */

/* Directories met on the way to files, kept open for a moment: a path whose
 * directories are here costs one call. */
#define GL_DIR_BUCKETS 256
#define GL_DIRS_MAX    1024
struct gl_dir;
struct gl_dirs {
    pthread_mutex_t lock;
    struct gl_dir *buckets[GL_DIR_BUCKETS];
    size_t count;
    size_t hand; /* bucket where the next eviction begins to look */
};

/* Files this process may read, as they were when that was asked. */
#define GL_GFID_SIZE   16
#define GL_ALLOWED_MAX 4096
struct gl_allowed_file {
    unsigned char gfid[GL_GFID_SIZE];
    struct timespec changed;
};
struct gl_allowed {
    pthread_mutex_t lock;
    struct gl_allowed_file files[GL_ALLOWED_MAX]; /* by gfid; a newcomer takes the place */
};

/* One connection to a volume. Never freed: a call may hang in it for as long
 * as gfapi likes, and glfs_fini takes ten seconds; the worker leaves by _exit. */
struct gl_session {
    glfs_t *fs;
    glfs_object_t *root;
    struct gl_dirs dirs;
    struct gl_allowed allowed;
};

enum gl_away { GL_HERE, GL_AWAY, GL_AWAY_UNSAID /* too soon to say it again */ };

struct gl_mount {
    const struct gl_mount_options *options;
    const struct gl_site *site;
    struct lg_worker *worker;
    struct lg_lane *lane;
    _Atomic(struct gl_session *) session; /* NULL until connected */
    atomic_int away;                      /* enum gl_away; only once connected */
    _Atomic int64_t away_since_ms;
    _Atomic int64_t away_said_ms; /* when the log last said so; 0 = never */
    struct gl_queue reader;       /* submits reads: glfs_pread_async may block while the
                                     volume's graph is being exchanged */
    struct gl_queue closer;
    struct gl_body *bodies; /* under way; loop only */
    bool watching;          /* a stall timer is pending; loop only */
};

/* In `start`: begins to connect in the background. 0 or -1. */
int gl_mount_start(struct gl_mount *mount);

/* The mount's connecting thread. Connects through the server of that index
 * (of no meaning with a volfile) within `limit_ms`. 0; -1 with the reason in
 * `ret_why`; or -ETIMEDOUT with a reason, and the attempt goes on: should it
 * succeed while the mount has no session, it sets one. */
int gl_session_new(struct gl_mount *mount, size_t server, int64_t limit_ms,
    struct gl_session **ret_session, char *ret_why, size_t why_size);

/* A file or directory inside the volume. */
struct gl_node {
    glfs_object_t *object; /* close with glfs_h_close */
    struct stat stat;
    unsigned char gfid[GL_GFID_SIZE];
};

/* Handler thread. Resolves `path` inside the volume: "." and ".." are obeyed,
 * symlinks followed as long as they are relative and stay inside. 0 or an
 * errno; a path that would leave is ENOENT. */
int gl_walk(struct gl_session *session, const char *path, struct gl_node *ret_node);
void gl_dirs_init(struct gl_dirs *dirs);

/* ---- access.c ------------------------------------------------------------------------------- */

/* Handler thread. Whether this process may read the file: 0 or an errno. */
int gl_access(struct gl_session *session, const struct gl_node *node);
void gl_allowed_init(struct gl_allowed *allowed);

/* ---- status.c: any thread ------------------------------------------------------------------ */

/* The HTTP status a failed call deserves. 503 means: the volume is away. */
int gl_status(int error);
/* Tells the mount how a call ended (0 or an errno), for the log lines that say
 * that a volume went away or answers again. */
void gl_mount_note(struct gl_mount *mount, int error);

/* ---- file.c -------------------------------------------------------------------------------- */

enum lg_verdict gl_file_fast(void *state, struct lg_request *request);
void gl_file_handle(void *state, struct lg_request *request);

/* ---- body.c: the answer's owner -----------------------------------------------------------------
 */

/* Finishes the answer with the plan's segments, read from `fd`, which is the
 * body's from here on. `stat` is what the head was made of. */
void gl_body_answer(struct lg_request *request, struct gl_mount *mount, glfs_fd_t *fd,
    const struct stat *stat, const struct lg_plan *plan);
/* Closes `fd` on the mount's closing thread. */
void gl_fd_close(struct gl_mount *mount, glfs_fd_t *fd);

#endif
