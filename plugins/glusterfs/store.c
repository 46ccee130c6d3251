/* The loop's side of what is known about a volume's files: hits are answered at
 * once, everything else waits for a fetch, one for each path however many ask.
 *
 * How long an entry holds. It was so when it was checked, so within
 * glusterfs-cache-age nobody asks again. After that it holds only where the
 * volume tells about changes: no doubt was cast on the file or its directory, no
 * call failed since, its directory was confirmed within the same age, and bricks
 * still remember us. Otherwise one look-up decides, and those who ask meanwhile
 * wait for it. What is in demand is looked at again shortly before it stops to
 * hold, so that nobody waits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "gl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#define LARGE_AGE_MS 10000 /* then it may be small enough by now */
#define FILES_MAX    16384 /* descriptors of cached files */
/* What was loaded together is due together: so many look-ups of a mount that nobody
 * waits for run at a time, or they would take the CPU from the loop. */
#define RENEWALS_MAX 4

struct gl_store {
    struct gl_site *site;
    struct lg_worker *worker;
    struct gl_cache *cache;
};

/* What is known about a path. */
struct found {
    enum gl_kind kind;
    struct gl_content *content; /* borrowed; GL_FILE only */
    struct gl_mtime mtime;
    const char *index;
    struct gl_entry *entry; /* NULL = it is not kept */
};

enum freshness { STALE, FRESH, DUE /* fresh, but not for long */, PRESSING /* very short */ };

static void start_fetch(struct gl_store *store, struct gl_entry *entry, struct gl_mount *mount,
    struct gl_fetch **ret_fetch);

/* ---- does it still hold? ---- */

static bool is_trusted(const struct gl_mount *mount, const struct gl_entry *entry, int64_t now_ms)
{
    struct gl_dir *dir = entry->dir;
    if (!dir || (entry->kind != GL_FILE && entry->kind != GL_REDIRECT) ||
        !atomic_load_explicit(&mount->trusted, memory_order_relaxed))
        return false;
    if (!atomic_load_explicit(&dir->wanted, memory_order_relaxed))
        atomic_store_explicit(&dir->wanted, true, memory_order_relaxed);
    return now_ms - atomic_load_explicit(&dir->confirmed_ms, memory_order_relaxed) <=
           mount->site->cache_age_ms;
}

static bool is_doubted(const struct gl_mount *mount, const struct gl_entry *entry)
{
    const struct gl_dir *dir = entry->dir;
    if (entry->epoch != atomic_load(&mount->epoch))
        return true;
    if (atomic_load_explicit(&mount->doubts.seq, memory_order_relaxed) == entry->seq)
        return false;
    return (entry->content &&
               gl_doubted(mount, gl_bytes_key(entry->content->stamp.gfid), entry->seq)) ||
           (dir && gl_doubted(mount, dir->key, entry->seq));
}

static enum freshness judge(
    const struct gl_mount *mount, const struct gl_entry *entry, int64_t now_ms)
{
    int64_t age_ms = now_ms - entry->checked_ms;
    int64_t limit_ms = mount->site->cache_age_ms;
    if (entry->kind == GL_UNKNOWN || is_doubted(mount, entry))
        return STALE;
    /* Whoever sends it looks for himself; but who compares times must know them. */
    if (entry->kind == GL_LARGE && mount->site->encoding_count == 0)
        return age_ms > LARGE_AGE_MS ? STALE : FRESH;
    if (is_trusted(mount, entry, now_ms)) {
        limit_ms = atomic_load_explicit(&mount->renew_ms, memory_order_relaxed);
        limit_ms = limit_ms > mount->site->cache_age_ms ? limit_ms : mount->site->cache_age_ms;
    }
    if (age_ms > limit_ms)
        return STALE;
    if (!entry->hot || age_ms <= limit_ms * 3 / 4)
        return FRESH;
    return age_ms > limit_ms * 7 / 8 ? PRESSING : DUE;
}

/* ---- answering from memory ---- */

/* The plan's segments as one piece of malloc'ed memory; NULL when it is out. */
static char *gather(const char *bytes, const struct lg_plan *plan)
{
    char *whole = malloc((size_t)plan->length + 1);
    char *to = whole;
    for (size_t i = 0; whole && i < plan->segment_count; i++) {
        const struct lg_segment *segment = &plan->segments[i];
        memcpy(
            to, segment->text ? segment->text : bytes + segment->offset, (size_t)segment->length);
        to += segment->length;
    }
    return whole;
}

static void answer_content(
    struct lg_request *request, const struct gl_call *call, struct gl_content *content)
{
    struct lg_plan plan;
    struct gl_mount *mount = call->mount;
    struct lg_entity entity = gl_entity(call, content->type);
    entity.size = content->stamp.size;
    entity.mtime_s = content->stamp.mtim.tv_sec;
    entity.etag = content->etag[0] ? content->etag : NULL;
    if (!call->offer) {
        entity.lines = content->lines;
        entity.lines_len = content->lines_len;
    }
    if (lg_answer_entity(request, &entity, &plan) != 1)
        return;
    gl_count(mount, GL_BYTES, (uint64_t)plan.length);
    if (plan.segment_count <= 1) {
        int64_t offset = plan.segment_count ? plan.segments[0].offset : 0;
        gl_content_ref(content);
        const struct lg_mapped mapped = {
            content->file, LG_LEAD_SIZE + offset, offset ? NULL : &content->lead};
        if (content->file >= 0)
            lg_answer_mapped(request, content->data + offset, (size_t)plan.length, &mapped,
                gl_content_unref, content);
        else
            lg_answer_bytes(
                request, content->data + offset, (size_t)plan.length, gl_content_unref, content);
        return;
    }
    char *whole = gather(content->data, &plan);
    if (whole)
        lg_answer_bytes(request, whole, (size_t)plan.length, free, whole);
    else
        lg_answer_error(request, 500, 0);
}

static enum lg_verdict answer(struct lg_request *request, const struct gl_call *call,
    enum gl_kind kind, struct gl_content *content)
{
    switch (kind) {
    case GL_FILE:
        answer_content(request, call, content);
        return LG_ANSWERED;
    case GL_REDIRECT:
        gl_answer_redirect(request, call);
        return LG_ANSWERED;
    case GL_LARGE:
        return LG_HANDLE;
    case GL_ABSENT:
    case GL_UNKNOWN:
        break;
    }
    lg_answer_error(request, 404, 0);
    return LG_ANSWERED;
}

/* ---- the file, or one beside it ---- */

enum looked { LOOKED, LOOK_PARKED, LOOK_REFUSED };
static enum looked look(struct gl_store *store, struct lg_request *request, struct gl_call *call,
    const char *path, struct found *ret_found);

/* The rules for a file need looking up once; those that want the request as well,
 * each time. */
static void judge_file(const struct gl_site *site, struct lg_request *request, struct gl_call *call,
    const struct found *found)
{
    struct gl_entry *entry = found->entry;
    call->name = call->path;
    if (found->index)
        call->name = lg_request_printf(request, "%s%s", call->path, found->index);
    if (!call->name)
        return;
    if (entry && entry->judged) {
        call->varies = entry->varies;
        call->expires = entry->expires;
        return;
    }
    const struct gl_subjects subjects = {
        .file = call->name,
        .type = found->content ? found->content->type : lg_mime_type(request, call->name),
        .path_info = lg_request_var(request, "PATH_INFO", NULL),
        .uri = lg_request_var(request, "REQUEST_URI", NULL),
    };
    call->varies = gl_encoding_applies(site, call->name);
    call->expires = gl_expires_find(site, &subjects);
    if (entry && !site->rules_want_request) {
        entry->judged = true;
        entry->varies = call->varies;
        entry->expires = call->expires;
    }
}

/* Notes what the client would rather have than the file itself. */
static void begin_offer(const struct gl_site *site, struct lg_request *request,
    struct gl_call *call, const struct found *found)
{
    struct gl_offer *offer = lg_request_alloc(request, sizeof *offer);
    if (!offer)
        return;
    *offer = (struct gl_offer){.kind = found->kind,
        .content = found->content,
        .mtime = found->mtime,
        .type = found->content ? found->content->type : lg_mime_type(request, call->name)};
    if (!gl_encoding_choose(site, request, offer) && !offer->plain_refused)
        return;
    if (offer->content)
        gl_content_ref(offer->content);
    call->offer = offer;
}

static void end_offer(struct gl_offer *offer)
{
    if (!offer || !offer->content)
        return;
    gl_content_unref(offer->content);
    offer->content = NULL;
}

static enum lg_verdict answer_plain(struct lg_request *request, struct gl_call *call)
{
    static const char text[] = "406 Not Acceptable\n";
    const struct gl_offer *offer = call->offer;
    call->offer = NULL;
    if (!offer->plain_refused)
        return answer(request, call, offer->kind, offer->content);
    lg_answer(request, 406);
    lg_answer_header(request, "Vary", "Accept-Encoding");
    lg_answer_header(request, "Content-Type", "text/plain");
    lg_answer_bytes(request, text, sizeof text - 1, NULL, NULL);
    return LG_ANSWERED;
}

/* Goes through the files beside it; the last look found `found`. */
static enum lg_verdict try_offers(struct gl_store *store, struct lg_request *request,
    struct gl_call *call, const struct found *found)
{
    struct gl_offer *offer = call->offer;
    struct found next = {0};
    const char *path = call->beside;
    while (!found || !gl_encoding_is_usable(found->kind, found->mtime, offer)) {
        found = NULL;
        path = gl_encoding_next(request, offer, call->name);
        call->beside = path;
        if (!path)
            return answer_plain(request, call);
        enum looked looked = look(store, request, call, path, &next);
        if (looked == LOOK_PARKED)
            return LG_PARKED;
        if (looked == LOOKED)
            found = &next;
    }
    gl_count(call->mount, GL_ENCODED, 1);
    return answer(request, call, found->kind, found->content);
}

/* Something was looked at: the answer, or the next look. */
static enum lg_verdict go_on(struct gl_store *store, struct lg_request *request,
    struct gl_call *call, const struct found *found)
{
    const struct gl_site *site = store->site;
    bool is_file = found->kind == GL_FILE || found->kind == GL_LARGE;
    enum lg_verdict verdict = LG_PARKED;
    if (!call->offer && is_file && (site->encoding_count > 0 || site->rule_count > 0)) {
        judge_file(site, request, call, found);
        if (call->varies && found->mtime.known)
            begin_offer(site, request, call, found);
        if (call->offer)
            found = NULL;
    }
    struct gl_offer *offer = call->offer;
    if (offer)
        verdict = try_offers(store, request, call, found);
    else
        verdict = answer(request, call, found->kind, found->content);
    if (verdict != LG_PARKED)
        end_offer(offer);
    return verdict;
}

/* ---- those who wait ---- */

static void leave_fetch(struct gl_call *call)
{
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    else
        call->fetch->waiters_tail = call->link;
    call->fetch = NULL;
}

static void gone(struct lg_request *request)
{
    struct gl_call *call = lg_request_data(request);
    struct gl_fetch *fetch = call->fetch;
    leave_fetch(call);
    if (!fetch->waiters)
        atomic_store(&fetch->unwanted, true);
    end_offer(call->offer);
}

static void join_fetch(struct gl_fetch *fetch, struct gl_call *call)
{
    call->fetch = fetch;
    atomic_store(&fetch->unwanted, false);
    call->next = NULL;
    call->link = fetch->waiters_tail;
    *fetch->waiters_tail = call;
    fetch->waiters_tail = &call->next;
}

/* Those who came so late that the fetch says nothing about their time, or when it had
 * been given up, go on to the next one. */
static struct gl_call *take_late(struct gl_fetch *fetch)
{
    int64_t age_ms = fetch->mount->site->cache_age_ms;
    struct gl_call *late = NULL;
    for (struct gl_call *call = fetch->waiters, *next; call; call = next) {
        next = call->next;
        bool late_for_it = call->since_ms - fetch->confirmed_ms > age_ms;
        if (!fetch->skipped && (fetch->error || !late_for_it))
            continue;
        leave_fetch(call);
        call->next = late;
        late = call;
    }
    return late;
}

static void resume_all(struct gl_store *store, struct gl_fetch *fetch)
{
    const struct found found = {
        .kind = fetch->kind,
        .content = fetch->content,
        .mtime = fetch->mtime,
        .index = fetch->index,
    };
    bool failed = fetch->error && fetch->kind != GL_ABSENT;
    while (fetch->waiters) {
        struct gl_call *call = fetch->waiters;
        struct lg_request *request = call->request;
        enum lg_verdict verdict = LG_ANSWERED;
        leave_fetch(call);
        if (failed && call->offer) /* the file itself is there all the same */
            lg_log_limited(&call->mount->gripe, LG_LOG_ERROR, GL_ROOM,
                "volume \"%s\": look at %s: %s: the file itself is sent",
                call->mount->options->volume, call->beside, strerror(fetch->error));
        if (failed && !call->offer)
            gl_answer_failed(request, call, "look at", fetch->error);
        else
            verdict = go_on(store, request, call, &found);
        if (verdict != LG_PARKED)
            lg_resume(request, verdict);
    }
}

/* ---- fetching ---- */

/* A volume too slow for its clients would otherwise be busy for those who have left
 * when it could serve those who are there. */
static void run_fetch(void *arg)
{
    struct gl_fetch *fetch = arg;
    fetch->skipped = atomic_load(&fetch->unwanted);
    if (!fetch->skipped)
        gl_fetch_run(fetch);
}

static void unref_dir(struct gl_job *job);

struct dir_job {
    struct gl_job job; /* first */
    struct gl_session *session;
    struct gl_dir *dir;
};

static void unref_dir(struct gl_job *job)
{
    struct dir_job *drop = (struct dir_job *)job;
    gl_dir_unref(&drop->session->dirs, drop->dir);
    free(drop);
}

/* Loop: the last reference closes the directory, which may block. */
static void drop_dir(struct gl_mount *mount, struct gl_session *session, struct gl_dir *dir)
{
    struct dir_job *drop = dir ? malloc(sizeof *drop) : NULL;
    if (!drop)
        return; /* leaked: memory is out */
    *drop = (struct dir_job){{.run = unref_dir}, session, dir};
    gl_queue_add(&mount->closer, &drop->job);
}

/* The cache is about to free it. */
static void forget(struct gl_entry *entry, void *arg)
{
    struct gl_store *store = arg;
    struct gl_mount *mount = &store->site->running[entry->mount];
    drop_dir(mount, entry->session, entry->dir);
}

/* Moves what was found into the entry. */
static void settle(struct gl_store *store, struct gl_fetch *fetch)
{
    struct gl_entry *entry = fetch->entry;
    entry->fetch = NULL;
    entry->hot = false;
    entry->checked_ms = fetch->confirmed_ms;
    entry->epoch = fetch->epoch;
    entry->seq = fetch->seq;
    if (entry->dir)
        drop_dir(fetch->mount, entry->session, entry->dir);
    entry->dir = fetch->linked ? NULL : fetch->dir;
    entry->session = fetch->session;
    entry->index = fetch->index;
    entry->mtime = fetch->mtime;
    entry->judged = false;
    if (fetch->linked)
        drop_dir(fetch->mount, fetch->session, fetch->dir);
    if (fetch->unchanged) {
        gl_count(fetch->mount, GL_RENEWALS, 1);
    } else if (fetch->kind == GL_FILE) {
        if (entry->content)
            gl_count(fetch->mount, GL_CHANGES, 1);
        gl_content_ref(fetch->content); /* the entry's; ours lasts until all are answered */
        if (gl_cache_set(store->cache, entry, GL_FILE, fetch->content))
            gl_content_settled(fetch->content);
        else
            gl_content_unref(fetch->content);
    } else {
        if (entry->content)
            gl_count(fetch->mount, GL_CHANGES, 1);
        gl_cache_set(store->cache, entry, fetch->kind, NULL);
    }
    gl_cache_unpin(store->cache, entry); /* frees it where it may not stay */
    lg_count_set(
        fetch->mount->worker, fetch->mount->counters, GL_CACHED, gl_cache_bytes(store->cache));
}

static void end_fetch(void *arg)
{
    struct gl_fetch *fetch = arg;
    struct gl_mount *mount = fetch->mount;
    struct gl_store *store = mount->site->store;
    struct gl_entry *entry = fetch->entry;
    struct gl_fetch *again = NULL;
    mount->renewals -= fetch->renews;
    if (fetch->unchanged)
        fetch->content = (struct gl_content *)(uintptr_t)fetch->known; /* with its reference */
    else if (fetch->known)
        gl_content_unref((struct gl_content *)(uintptr_t)fetch->known);
    if (fetch->error) {
        gl_mount_note(mount, fetch->error);
        if (fetch->kind != GL_ABSENT)
            gl_count(mount, GL_ERRORS, 1);
    }
    struct gl_call *late = take_late(fetch);
    if (late) /* before it is unpinned */
        start_fetch(store, entry, mount, &again);
    if (again) {
        for (struct gl_call *call = late, *next; call; call = next) {
            next = call->next;
            join_fetch(again, call);
        }
        drop_dir(mount, fetch->session, fetch->dir);
    } else if (fetch->skipped) {
        entry->fetch = NULL;
        gl_cache_unpin(store->cache, entry);
    } else {
        settle(store, fetch);
    }
    resume_all(store, fetch);
    while (!again && late) { /* the lane is full */
        struct lg_request *request = late->request;
        end_offer(late->offer);
        late = late->next;
        lg_answer_error(request, 503, GL_RETRY_AFTER_S);
        lg_resume(request, LG_ANSWERED);
    }
    if (fetch->content)
        gl_content_unref(fetch->content);
    free(fetch);
}

/* *ret_fetch stays NULL when the lane takes no more. The entry is pinned then as
 * it was. */
static void start_fetch(struct gl_store *store, struct gl_entry *entry, struct gl_mount *mount,
    struct gl_fetch **ret_fetch)
{
    struct gl_fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch)
        return;
    fetch->mount = mount;
    fetch->path = entry->path;
    fetch->entry = entry;
    fetch->waiters_tail = &fetch->waiters;
    fetch->known = entry->content;
    if (entry->content)
        gl_content_ref(entry->content);
    if (lg_lane_run(
            store->worker, mount->lane, mount->site->timeout_ms, run_fetch, end_fetch, fetch)) {
        if (entry->content)
            gl_content_unref(entry->content);
        free(fetch);
        return;
    }
    gl_cache_pin(store->cache, entry);
    entry->fetch = fetch;
    *ret_fetch = fetch;
}

/* ---- asking ---- */

/* Half of the descriptors there are is left to clients: new ones are the lowest
 * that are free. */
static int find_files_max(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur / 2 > FILES_MAX)
        return FILES_MAX;
    return (int)(files.rlim_cur / 2);
}

int gl_store_start(struct gl_site *site, struct lg_worker *worker)
{
    struct gl_store *store = calloc(1, sizeof *store);
    uint64_t seed = 0;
    if (!store)
        return -1;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) < 0)
        seed = (uint64_t)(uintptr_t)store;
    store->site = site;
    store->worker = worker;
    store->cache = gl_cache_new(site->cache_size, seed, forget, store);
    site->store = store;
    site->files_max = find_files_max();
    return store->cache ? 0 : -1;
}

/* From memory, at once. */
static void take_hit(struct gl_store *store, struct gl_entry *entry, const struct gl_call *call,
    enum freshness freshness, struct found *ret_found)
{
    struct gl_mount *mount = call->mount;
    struct gl_fetch *fetch = NULL;
    *ret_found = (struct found){
        .kind = entry->kind,
        .content = entry->content,
        .mtime = entry->mtime,
        .index = entry->index,
        .entry = entry,
    };
    bool may_renew = freshness == PRESSING || (freshness == DUE && mount->renewals < RENEWALS_MAX);
    if (may_renew && !entry->fetch)
        start_fetch(store, entry, mount, &fetch);
    if (fetch) {
        fetch->renews = true;
        mount->renewals++;
    }
    entry->hot = true;
}

static void count_wait(struct gl_call *call, const struct gl_fetch *fetch)
{
    if (!call->counted)
        gl_count(call->mount, fetch ? GL_SHARED : GL_MISSES, 1);
    call->counted = true;
}

/* Looks at a path for a request: in memory, or the request is parked. */
static enum looked look(struct gl_store *store, struct lg_request *request, struct gl_call *call,
    const char *path, struct found *ret_found)
{
    size_t len = strlen(path);
    int64_t now_ms = call->parked ? gl_now_ms() : lg_request_begun_ms(request);
    struct gl_entry *entry = gl_cache_find(store->cache, call->mount->number, path, len);
    enum freshness freshness = entry ? judge(call->mount, entry, now_ms) : STALE;
    if (freshness != STALE) {
        take_hit(store, entry, call, freshness, ret_found);
        return LOOKED;
    }
    struct gl_fetch *fetch = entry ? entry->fetch : NULL;
    count_wait(call, fetch);
    if (!entry)
        entry = gl_cache_add(store->cache, call->mount->number, path, len);
    if (entry && !fetch)
        start_fetch(store, entry, call->mount, &fetch);
    if (!fetch) {
        if (entry)
            gl_cache_unpin(store->cache, entry);
        return LOOK_REFUSED;
    }
    entry->hot = true;
    if (!call->parked) {
        call->request = request;
        call->since_ms = now_ms;
        call->parked = true;
        lg_request_park(request, gone);
    }
    join_fetch(fetch, call);
    return LOOK_PARKED;
}

enum lg_verdict gl_store_ask(struct gl_site *site, struct lg_request *request, struct gl_call *call)
{
    struct found found;
    switch (look(site->store, request, call, call->path, &found)) {
    case LOOK_PARKED:
        return LG_PARKED;
    case LOOK_REFUSED:
        lg_answer_error(request, 503, GL_RETRY_AFTER_S);
        return LG_ANSWERED;
    case LOOKED:
        break;
    }
    enum lg_verdict verdict = go_on(site->store, request, call, &found);
    if (!call->counted)
        gl_count(call->mount, verdict == LG_HANDLE ? GL_STREAMS : GL_HITS, 1);
    return verdict;
}
