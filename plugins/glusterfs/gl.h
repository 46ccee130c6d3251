/* What the files of the glusterfs plugin share. The plugin serves the files of
 * GlusterFS volumes through libgfapi, without a mount in the kernel.
 *
 * A guest in the house: of the core's it includes legatus/plugin.h and nothing else,
 * and its names are gl_verb.
 *
 *   plugin.c   descriptor, options -> struct gl_site, the worker's start
 *   choose.c   which mount a request is for; pure
 *   server.c   server lists; pure
 *   regex.c    regular expressions of options
 *   expires.c  how long an answer stays fresh with the client
 *   encoding.c encoded files beside a file, and which of them a client is to have
 *   probe.c    which server of a list is alive
 *   mount.c    the thread that connects a mount, and connects it again
 *   session.c  one attempt to connect
 *   queue.c    a thread that runs jobs in order
 *   walk.c     a path -> the file it names inside the volume
 *   dirs.c     directories kept open, and whether they are still what they were
 *   access.c   whether a file may be read
 *   health.c   whether the volume is there, and all of it
 *   parts.c    which parts of a distributed volume there are; pure
 *   status.c   errno -> status; the log lines about a volume coming and going
 *   upcall.c   what bricks tell about changes: doubts, and whom to trust
 *   cache.c    what was seen at a path, within a bound of memory; pure
 *   fetch.c    a path -> its state, and its bytes where they fit in memory
 *   memory.c   the memory for bodies on their way, and who waits for some
 *   store.c    the loop's side of cache and fetches: hits, waiters, renewal
 *   file.c     the handler's two doors; directories; the heads of large files
 *   listing.c  the names in a directory
 *   page.c     names -> HTML or JSON; pure
 *   body.c     the body of a large file, as a pipeline of reads
 *
 * Threads of a worker: the loop (the `fast` door, store.c and body.c's callbacks),
 * the handler threads (the `handle` door, fetches), and for each mount one that
 * connects and watches, one that submits reads and one that closes. Functions say
 * which they are for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GL_H
#define GL_H

#include "cache.h"

#include <legatus/plugin.h>

#include <glusterfs/api/glfs-handles.h>
#include <glusterfs/api/glfs.h>

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#define GL_ROOM "glusterfs"

#define GL_DEFAULT_PORT 24007
#define GL_SERVERS_MAX  32
#define GL_MOUNTS_MAX   256
#define GL_INDEXES_MAX  16
/* What waits for a mount's turn. As many as a worker that may open 16384 files has
 * clients; each costs 5 KiB, its request included. */
#define GL_QUEUE_MAX     16384
#define GL_RETRY_AFTER_S 1 /* what 503 tells the client to wait */

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

/* How bytes may be encoded. */
#define GL_ENCODINGS_MAX 3
struct gl_encoding {
    const char *coding; /* for Content-Encoding */
    const char *suffix; /* of the file beside the file */
};

struct gl_texts {
    const char **items;
    size_t count;
};

/* Waiting for memory. */
struct gl_thirst {
    struct gl_thirst *next, **link; /* link NULL = not waiting */
    struct gl_memory *memory;
    void (*wake)(struct gl_thirst *thirst);
};

/* Half of it is for those who need the least to go on with. */
#define GL_MEMORY_LEAST ((size_t)8 << 10)
struct gl_memory {
    size_t limit;       /* bytes */
    atomic_size_t used; /* by bodies on their way */
    struct gl_thirst *thirsty, **thirsty_tail;
};

struct gl_site {
    struct gl_mount_options *mounts;
    size_t mount_count;
    char **indexes; /* names that answer for a directory, in order of preference */
    size_t index_count;
    unsigned timeout_ms;  /* 0 = none */
    unsigned calls_max;   /* 0 = three quarters of the worker's threads */
    size_t cache_size;    /* bytes; 0 = off */
    size_t file_max;      /* larger files are streamed; bytes */
    int64_t cache_age_ms; /* how long what was seen holds unless upcalls are trusted */
    enum gl_upcall { GL_UPCALL_AUTO, GL_UPCALL_ON, GL_UPCALL_OFF } upcall;
    size_t read_ahead; /* of one large file, bytes */
    struct gl_memory memory;
    pthread_mutex_t making; /* held while a glfs_t is made */
    int files_max;          /* cached files have descriptors below this; set in the worker */
    const char *log;        /* gfapi's own log; NULL = none */
    bool no_default_app;
    /* expires.c */
    struct gl_rule *rules; /* in the order in which they are asked */
    size_t rule_count;
    bool rules_want_request; /* not only the file */
    /* encoding.c: none, or in the order of preference, and of which files */
    const struct gl_encoding *encodings[GL_ENCODINGS_MAX];
    size_t encoding_count;
    bool gzip_all;
    struct gl_regex **gzip_regexes;
    size_t gzip_regex_count;
    struct gl_texts gzip_prefixes, gzip_suffixes;
    bool autoindex;
    size_t autoindex_max;     /* names */
    int *counters;            /* the group of each mount */
    struct gl_mount *running; /* mount_count of them; only in a worker, after start */
    struct gl_store *store;   /* the same */
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

/* ---- regex.c, expires.c, encoding.c: the master, then the loop ------------------- */

/* Of the i-th value of an option; NULL after reporting. */
struct gl_regex *gl_regex_new(
    struct lg_plugin_context *context, const char *option, size_t i, const char *text, size_t len);
void gl_regex_free(struct gl_regex *regex);
/* A text that would take too many steps does not match. */
bool gl_regex_matches(const struct gl_regex *regex, const char *text);

/* What a rule may be about. */
struct gl_subjects {
    const char *file; /* its path in the volume */
    const char *type;
    const char *path_info, *uri; /* NULL = the request has none */
};

/* Read the options into `site`; false after reporting. */
bool gl_expires_read(struct lg_plugin_context *context, struct gl_site *site);
bool gl_encoding_read(struct lg_plugin_context *context, struct gl_site *site);
void gl_expires_free(struct gl_site *site);
void gl_encoding_free(struct gl_site *site);
/* NULL = nothing is said. */
const struct gl_rule *gl_expires_find(
    const struct gl_site *site, const struct gl_subjects *subjects);
void gl_expires_apply(const struct gl_rule *rule, struct lg_entity *entity);

/* Whether the file at `path` may have encoded neighbours. */
bool gl_encoding_applies(const struct gl_site *site, const char *path);

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
    atomic_uint waiting; /* jobs not taken yet */
};

/* Starts the thread, with every signal blocked; it lives as long as the
 * process. 0 or -1. */
int gl_queue_start(struct gl_queue *queue, const char *thread_name);
/* Any thread. The job is the queue's until it runs. */
void gl_queue_add(struct gl_queue *queue, struct gl_job *job);
/* Any thread that may block: runs jobs itself as long as more than `most` wait. */
void gl_queue_help(struct gl_queue *queue, unsigned most);
/* Starts fn(arg) on a detached thread with every signal blocked. 0 or -1. */
int gl_thread_start(const char *name, void *(*fn)(void *arg), void *arg);
int64_t gl_now_ms(void); /* monotonic */
/* A brick's clock has a grain of a few ms, and clocks of nodes differ: what changed
 * so shortly ago may change once more without its times showing it. */
bool gl_is_young(const struct stat *stat);

/* ---- dirs.c: any thread but the loop, unless said ------------------------------------- */

/* Directories met on the way to files, kept open: a path whose directories are
 * here costs one call. Each knows when it was last confirmed, that is, when the
 * look-up began that found it at its path (and its parents at theirs). */
#define GL_DIR_BUCKETS 256
#define GL_DIRS_MAX    1024
#define GL_DIR_DEPTH   32 /* deeper ones are not watched */

struct gl_dir {
    struct gl_dir *next;   /* in its bucket */
    struct gl_dir *parent; /* referenced; NULL for the root */
    glfs_object_t *object;
    uint64_t key;                 /* gl_gfid_key */
    _Atomic int64_t confirmed_ms; /* gl_now_ms; 0 = it is gone */
    atomic_bool wanted;           /* entries in it were asked for: keep it confirmed */
    struct timespec mtim, ctim;   /* under the table's lock, as what follows */
    bool young;                   /* it changed within the clock's grain of when we looked */
    unsigned refs;                /* the table holds one */
    unsigned depth;
    size_t path_len;
    char path[]; /* from the root, without links, no slash at the end; "" = the root */
};

struct gl_mount;
struct gl_dirs {
    pthread_mutex_t lock;
    struct gl_mount *mount;
    struct gl_dir *root;
    struct gl_dir *buckets[GL_DIR_BUCKETS];
    size_t count;
    size_t hand; /* bucket where the next eviction begins to look */
};

/* Takes over `root`. 0 or an errno. */
int gl_dirs_init(struct gl_dirs *dirs, struct gl_mount *mount, glfs_object_t *root,
    const struct stat *stat, int64_t began_ms);
struct gl_dir *gl_dir_ref(struct gl_dirs *dirs, struct gl_dir *dir);
/* May call gfapi. NULL is fine. */
void gl_dir_unref(struct gl_dirs *dirs, struct gl_dir *dir);
/* A referenced entry confirmed within the last `age_ms`, or NULL. */
struct gl_dir *gl_dirs_get(struct gl_dirs *dirs, const char *path, size_t len, int64_t age_ms);
/* The look-up that began at `began_ms` found `object` at `path`; takes it over.
 * A referenced entry, or NULL when memory is out. */
struct gl_dir *gl_dirs_put(struct gl_dirs *dirs, struct gl_dir *parent, const char *path,
    size_t len, glfs_object_t *object, const struct stat *stat, int64_t began_ms);
/* Looks again at the directories that are wanted. 0 or the errno of a call that
 * says that the volume is in trouble. Blocks. */
int gl_dirs_watch(struct gl_dirs *dirs, glfs_t *fs);

/* ---- upcall.c: any thread -------------------------------------------------------------- */

/* Doubts: a counter of events, and by the hash of a gfid when there was the last
 * one. What is known since before that may have changed. Two gfids that share a
 * place cost a look too many, nothing else. */
#define GL_DOUBTS 4096
struct gl_doubts {
    _Atomic uint64_t seq;
    _Atomic uint64_t last[GL_DOUBTS];
};

struct gl_session;
uint64_t gl_gfid_key(glfs_object_t *object); /* 0 = it has none */
uint64_t gl_bytes_key(const unsigned char gfid[GL_GFID_SIZE]);
void gl_doubt(struct gl_mount *mount, uint64_t key);
bool gl_doubted(const struct gl_mount *mount, uint64_t key, uint64_t since_seq);
/* Asks to be told about changes, as the option says; the session is the mount's. */
void gl_upcall_start(struct gl_mount *mount, struct gl_session *session);
/* Everything known about the mount is in doubt. */
void gl_mount_flush(struct gl_mount *mount);

/* ---- mount.c, session.c, walk.c
 * ------------------------------------------------------------------ */

/* One connection to a volume. Never freed: a call may hang in it for as long
 * as gfapi likes, and glfs_fini takes ten seconds; the worker leaves by _exit. */
struct gl_session {
    glfs_t *fs;
    glfs_object_t *root;
    struct gl_dirs dirs;
    atomic_uint parts; /* of a distributed volume, when last asked; 0 = not known */
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
    unsigned renewals;      /* under way; loop only */
    int counters;           /* group; see gl_counter */
    unsigned number;        /* in site->mounts */
    struct gl_doubts doubts;
    _Atomic uint64_t epoch;   /* grows when everything known is in doubt */
    atomic_bool trusted;      /* bricks tell about changes: one has done so */
    _Atomic int64_t renew_ms; /* and remember us for twice this long */
    _Atomic int64_t flushed_ms;
    struct lg_log_limit gripe; /* about calls that failed */
    struct lg_log_limit partial;
};

/* What is counted for each mount; texts are in plugin.c. */
enum gl_counter {
    GL_HITS,
    GL_MISSES,
    GL_SHARED,
    GL_STREAMS,
    GL_RENEWALS,
    GL_CHANGES,
    GL_EVENTS,
    GL_FLUSHES,
    GL_BYTES,
    GL_ERRORS,
    GL_ENCODED,
    GL_LISTINGS,
    GL_TRUSTED,
    GL_CACHED,
    GL_WELL,
    GL_LATENCY, /* the first of GL_LATENCIES */
};
#define GL_LATENCIES     8
#define GL_COUNTER_COUNT (GL_LATENCY + GL_LATENCIES)
static inline void gl_count(struct gl_mount *mount, enum gl_counter counter, uint64_t delta)
{
    lg_count(mount->worker, mount->counters, counter, delta);
}

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
    struct gl_dir *dir;   /* that it was found in; gl_dir_unref */
    bool linked;          /* links were followed: `dir` does not say it all */
    int64_t confirmed_ms; /* all of this was so at this time at the earliest */
    unsigned char gfid[GL_GFID_SIZE];
};

/* Handler thread. Resolves `path` inside the volume: "." and ".." are obeyed,
 * symlinks followed as long as they are relative and stay inside. 0 or an
 * errno; a path that would leave is ENOENT. */
int gl_walk(struct gl_session *session, const char *path, struct gl_node *ret_node);
void gl_node_close(struct gl_session *session, struct gl_node *node);

/* ---- access.c ------------------------------------------------------------------------------- */

/* Handler thread. Whether this process may read the file: 0 or an errno. */
int gl_access(struct gl_session *session, const struct gl_node *node);

/* ---- health.c: any thread but the loop --------------------------------------------------- */

/* What gfapi says of a part that is away is ENOENT, as of a file that is none: this is
 * the errno of what may lie there. 503; the volume is not away for it. */
#define GL_EPART EREMOTEIO

/* Asks a brick. 0, or the errno of a volume that cannot serve. */
int gl_health_look(struct gl_session *session);
/* Asks for a directory that may be read whether all parts of the volume that it is
 * distributed over are there; false where that cannot be known. A part counts as there
 * while any of its bricks is. */
bool gl_health_is_whole(struct gl_session *session, glfs_object_t *directory);
/* Something was not found: ENOENT, or GL_EPART where that may be for another reason. */
int gl_health_absent(struct gl_session *session);

/* ---- status.c: any thread ------------------------------------------------------------------ */

/* The HTTP status a failed call deserves. 503 means: the volume is away. */
int gl_status(int error);
/* Tells the mount how a call ended (0 or an errno), for the log lines that say
 * that a volume went away or answers again. */
void gl_mount_note(struct gl_mount *mount, int error);
/* Now and then: says that it is away where that was too soon to say at the time. */
void gl_mount_remind(struct gl_mount *mount);

/* ---- fetch.c -------------------------------------------------------------------------------- */

struct gl_call;

/* Looking at a path: what store.c asks, and what came of it. */
struct gl_fetch {
    struct gl_mount *mount;
    const char *path;
    const struct gl_content *known; /* what it was when last looked at; NULL = nothing */
    int64_t began_us;
    /* found */
    int error; /* 0, or an errno: then nothing else is */
    enum gl_kind kind;
    bool unchanged; /* `known` is still right */
    struct gl_content *content;
    struct gl_session *session;
    struct gl_dir *dir; /* referenced */
    bool linked;
    int64_t confirmed_ms;
    uint64_t epoch, seq; /* of the mount before it was looked at */
    const char *index;   /* the name in the directory `path` that answers for it; or NULL */
    struct gl_mtime mtime;
    /* store.c's */
    atomic_bool unwanted; /* all who waited have left: it need not begin */
    bool skipped;         /* nor did it: nothing was found */
    bool renews;          /* what is known holds still, but not for long */
    struct gl_entry *entry;
    struct gl_call *waiters, **waiters_tail;
};

/* Handler thread. */
void gl_fetch_run(struct gl_fetch *fetch);
/* The first index name that is a file of the directory `path`; its own path goes
 * to ret_path (PATH_MAX), its name to *ret_index. 0, or an errno. Handler thread. */
int gl_find_index(const struct gl_site *site, struct gl_session *session, const char *path,
    char *ret_path, const char **ret_index, struct gl_node *ret_node);
/* Writes the ETag: the gfid names the file on every node, and another one after a
 * replacement. */
void gl_make_etag(const struct gl_node *node, const struct stat *stat, char ret_etag[GL_ETAG_SIZE]);
/* Loop: the content is counted by the cache now, not as memory on its way. */
void gl_content_settled(struct gl_content *content);

/* ---- store.c: loop, unless said ----------------------------------------------------------- */

/* The files beside a file that a client would rather have. */
struct gl_offer {
    const struct gl_encoding *order[GL_ENCODINGS_MAX]; /* as the client likes them */
    size_t count, at;
    const struct gl_encoding *asked; /* whose file is being looked at */
    bool plain_refused;
    /* the file itself, in case there is none */
    enum gl_kind kind;
    struct gl_content *content; /* referenced; NULL unless GL_FILE */
    struct gl_mtime mtime;
    const char *type;
};

/* Sets `order`; false when the client wants none of them. */
bool gl_encoding_choose(
    const struct gl_site *site, const struct lg_request *request, struct gl_offer *offer);
/* The path of the next one, beside the file `name`; NULL after the last. */
const char *gl_encoding_next(struct lg_request *request, struct gl_offer *offer, const char *name);
/* Whether what was found there may stand for the file: one that is older does
 * not. */
bool gl_encoding_is_usable(enum gl_kind kind, struct gl_mtime mtime, const struct gl_offer *offer);

/* One request. In its memory. */
struct gl_call {
    struct gl_mount *mount;
    const char *path; /* in the volume */
    const char *url;  /* PATH_INFO before anything was cut off: what redirects name */
    /* of the answer, once the file is known */
    const char *name;              /* its path, that of the index where one answers */
    const struct gl_rule *expires; /* or NULL */
    bool varies;                   /* by Accept-Encoding */
    struct gl_offer *offer;        /* NULL = the file itself */
    const char *beside;            /* for `handle`: the encoded file of offer->asked; or NULL */
    bool counted;                  /* as a miss, or as one that waits */
    bool parked;
    /* waiting for a fetch */
    struct lg_request *request;
    struct gl_fetch *fetch;
    struct gl_call *next, **link;
    int64_t since_ms;
};

/* 0 or -1. */
int gl_store_start(struct gl_site *site, struct lg_worker *worker);
/* Answers from memory, or parks the request, or says that `handle` is to do it. */
enum lg_verdict gl_store_ask(
    struct gl_site *site, struct lg_request *request, struct gl_call *call);

/* ---- memory.c ------------------------------------------------------------------------------ */

/* Memory for bodies on their way: any thread takes, in a bound. Half of it is for
 * those who need `size` as the least to go on with, at most GL_MEMORY_LEAST. */
bool gl_memory_take(struct gl_site *site, size_t size, bool least);
void gl_memory_untake(struct gl_site *site, size_t size); /* at once, unused; any thread */
/* Loop. */
void gl_memory_give(struct gl_site *site, size_t size);
/* Loop: calls wake once when there is room for the least; first come, first served. */
void gl_memory_wait(struct gl_site *site, struct gl_thirst *thirst);
void gl_memory_wait_not(struct gl_thirst *thirst);

/* ---- file.c -------------------------------------------------------------------------------- */

enum lg_verdict gl_file_fast(void *state, struct lg_request *request);
void gl_file_handle(void *state, struct lg_request *request);
/* `text` as the path of a URL: one slash in front (two would name another host),
 * everything that is not plain escaped. In the request's memory; NULL = out. */
char *gl_encode_path(struct lg_request *request, const char *text);
/* What the answer says about the file: its entity, but for size, time, tag. */
struct lg_entity gl_entity(const struct gl_call *call, const char *type);
/* The request's owner. A redirect to the same path with a slash; an error. */
void gl_answer_redirect(struct lg_request *request, const struct gl_call *call);
void gl_answer_failed(
    struct lg_request *request, const struct gl_call *call, const char *what, int error);

/* ---- listing.c: handler thread -------------------------------------------------------------- */

/* Answers with the names in the directory. 0, or an errno, not answered. */
int gl_listing_answer(struct lg_request *request, const struct gl_call *call,
    struct gl_session *session, const struct gl_node *node);

/* ---- body.c: the answer's owner -----------------------------------------------------------------
 */

/* Finishes the answer with the plan's segments, read from `fd`, which is the
 * body's from here on. `stat` is what the head was made of. */
void gl_body_answer(struct lg_request *request, struct gl_mount *mount, glfs_fd_t *fd,
    const struct stat *stat, const struct lg_plan *plan);
/* Closes `fd` on the mount's closing thread. */
void gl_fd_close(struct gl_mount *mount, glfs_fd_t *fd);

#endif
