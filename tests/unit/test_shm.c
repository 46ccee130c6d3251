/* Shared memory: snapshots are whole, the lease is compared with the clock.
 * SPDX-License-Identifier: Apache-2.0 */
#include "shm/calls.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t boottime_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void limits_hold(void **state)
{
    (void)state;
    struct lg_shm *shm = NULL;
    assert_int_equal(lg_shm_new(LG_SHM_WORKERS_MAX + 1, 0, &shm), -LG_E_LIMIT);
    assert_int_equal(lg_shm_new(1, LG_LEGIONS_MAX + 1, &shm), -LG_E_LIMIT);
    assert_null(shm);
    assert_int_equal(lg_shm_new(LG_SHM_WORKERS_MAX, 0, &shm), 0);
    assert_int_equal(lg_shm_worker_count(shm), LG_SHM_WORKERS_MAX);
    assert_non_null(lg_shm_worker(shm, LG_SHM_WORKERS_MAX - 1));
    assert_null(lg_shm_worker(shm, LG_SHM_WORKERS_MAX));
    struct lg_shm_legion copy;
    assert_false(lg_shm_legion_read(shm, 0, &copy));
    assert_false(lg_shm_is_lord(shm, "any"));
    lg_shm_free(shm);
    lg_shm_free(NULL);
}

static void a_child_is_read_by_the_parent(void **state)
{
    (void)state;
    struct lg_shm *shm = NULL;
    assert_int_equal(lg_shm_new(2, 1, &shm), 0);
    pid_t pid = fork();
    if (pid == 0) {
        atomic_store(&lg_shm_worker(shm, 1)->requests, 42);
        _exit(0);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(atomic_load(&lg_shm_worker(shm, 1)->requests), 42);
    assert_int_equal(atomic_load(&lg_shm_worker(shm, 0)->requests), 0);
    lg_shm_free(shm);
}

static void name_health(struct lg_shm_worker *slot, const char *text, uint64_t until_ms)
{
    char name[LG_SHM_HEALTH_NAME_SIZE] = "";
    uint32_t at = atomic_load(&slot->health_count);
    snprintf(name, sizeof name, "%s", text);
    for (size_t i = 0; i < sizeof name / 8; i++) {
        uint64_t word;
        memcpy(&word, name + 8 * i, 8);
        atomic_store(&slot->healths[at].name[i], word);
    }
    atomic_store(&slot->healths[at].counter, 10 + at);
    atomic_store(&slot->plugin[10 + at], until_ms);
    atomic_store(&slot->health_count, at + 1);
}

static void ask(struct lg_shm *shm, const char *name, unsigned workers, unsigned told, unsigned ill,
    const char *first)
{
    struct lg_shm_health health;
    lg_shm_health(shm, lg_slice_of(name), 1000, &health);
    assert_int_equal(health.workers, workers);
    assert_int_equal(health.told, told);
    assert_int_equal(health.ill, ill);
    assert_string_equal(health.first, first);
}

static void health_is_that_of_workers_which_serve(void **state)
{
    (void)state;
    struct lg_shm *shm = NULL;
    assert_int_equal(lg_shm_new(4, 0, &shm), 0);
    struct lg_shm_worker *a = lg_shm_worker(shm, 0), *b = lg_shm_worker(shm, 1);
    atomic_store(&a->ready, 1);
    atomic_store(&b->ready, 1);
    assert_int_equal(lg_shm_workers_serving(shm, 1), 0); /* nobody said there are any */
    lg_shm_set_worker_end(shm, 3);
    lg_shm_set_worker_end(shm, 1);
    lg_shm_set_worker_end(shm, 5);
    assert_int_equal(lg_shm_workers_serving(shm, LG_SHM_BEAT_LATE_MS - 1), 2);
    assert_int_equal(lg_shm_workers_serving(shm, LG_SHM_BEAT_LATE_MS), 0);
    atomic_store(&a->beat_ms, 1000);
    assert_int_equal(lg_shm_workers_serving(shm, LG_SHM_BEAT_LATE_MS), 1);

    ask(shm, "glusterfs", 2, 0, 0, "");
    name_health(a, "glusterfs:/", 1001);
    name_health(a, "glusterfs:/b", 1001);
    name_health(b, "glusterfs:/", 1001);
    name_health(b, "glusterfs:/b", 1000);
    ask(shm, "glusterfs", 2, 2, 1, "glusterfs:/b");
    ask(shm, "glusterfs:/", 2, 2, 0, "");
    ask(shm, "glusterfs:/b", 2, 2, 1, "glusterfs:/b");
    ask(shm, "glusterfs:/bc", 2, 0, 0, "");
    ask(shm, "gluster", 2, 0, 0, "");
    atomic_store(&b->state, LG_WORKER_DRAINING);
    ask(shm, "glusterfs", 1, 1, 0, "");
    lg_shm_free(shm);
}

static void the_title_ends_with_its_lease(void **state)
{
    (void)state;
    struct lg_shm *shm = NULL;
    assert_int_equal(lg_shm_new(1, 2, &shm), 0);
    static struct lg_shm_legion legion;
    snprintf(legion.name, sizeof legion.name, "mycluster");
    legion.lease_until_ms = boottime_ms() + 60000;
    lg_shm_legion_publish(shm, 1, &legion);
    assert_false(lg_shm_is_lord(shm, "mycluster")); /* lord_since_s is 0 */
    legion.lord_since_s = 1795300860;
    lg_shm_legion_publish(shm, 1, &legion);
    assert_true(lg_shm_is_lord(shm, "mycluster"));
    assert_false(lg_shm_is_lord(shm, "mycluste"));
    assert_false(lg_shm_is_lord(shm, "other"));
    legion.lease_until_ms = boottime_ms();
    lg_shm_legion_publish(shm, 1, &legion);
    assert_false(lg_shm_is_lord(shm, "mycluster"));
    lg_shm_free(shm);
}

/* Of the lines of /proc/self/maps about memory that is guarded: how many, and how
 * many of them can be written; `at` and `size` are of the last. */
static unsigned guarded_maps(unsigned *ret_writable, void **ret_at, size_t *ret_size)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[512], mode[5];
    unsigned count = 0;
    *ret_writable = 0;
    while (file && fgets(line, sizeof line, file)) {
        unsigned long from, to;
        if (!strstr(line, "memfd:legatus") ||
            sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3) /* NOLINT(cert-err34-c) */
            continue;
        count++;
        *ret_writable += mode[1] == 'w';
        *ret_at = (void *)from; /* NOLINT(performance-no-int-to-ptr) */
        *ret_size = to - from;
    }
    if (file)
        (void)fclose(file);
    return count;
}

/* As a worker: it sees what is published later, and can map nothing to write it. */
static int read_only_child(struct lg_shm *shm, int told_fd)
{
    unsigned writable;
    void *at = NULL;
    size_t size = 0;
    char byte;
    if (lg_shm_only_read(shm) || guarded_maps(&writable, &at, &size) != 1 || writable != 0)
        return 1;
    if (read(told_fd, &byte, 1) != 1 || !lg_shm_is_lord(shm, "mycluster"))
        return 2;
    if (lg_shm_workers_serving(shm, 0) != 0)
        return 3;
    atomic_store(&lg_shm_worker(shm, 0)->requests, 7);
    return mprotect(at, size, PROT_READ | PROT_WRITE) == 0 ? 4 : 0;
}

/* In a child that maps it read-only, if `is_guarded`: how a write to a title ends. */
static int status_of_write(struct lg_shm *shm, bool is_guarded)
{
    static struct lg_shm_legion fake = {.name = "mycluster", .lord_since_s = 1};
    int status;
    pid_t pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* the sanitizers have their own */
        if (is_guarded && lg_shm_only_read(shm))
            _exit(1);
        lg_shm_legion_publish(shm, 0, &fake);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void titles_are_read_only_for_workers(void **state)
{
    (void)state;
    static struct lg_shm_legion legion = {.name = "mycluster", .lord_since_s = 1};
    struct lg_shm *shm = NULL;
    int told[2], status;
    unsigned writable;
    void *at;
    size_t size;
    assert_int_equal(lg_shm_new(1, 1, &shm), 0);
    assert_int_equal(guarded_maps(&writable, &at, &size), 1);
    assert_int_equal(writable, 1);
    assert_return_code(pipe(told), errno);
    pid_t pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0)
        _exit(read_only_child(shm, told[0]));
    legion.lease_until_ms = boottime_ms() + 60000;
    lg_shm_legion_publish(shm, 0, &legion);
    assert_int_equal(write(told[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(atomic_load(&lg_shm_worker(shm, 0)->requests), 7);
    status = status_of_write(shm, true);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_true(lg_shm_is_lord(shm, "mycluster"));
    assert_int_equal(status_of_write(shm, false), 0); /* the others still write */
    assert_false(lg_shm_is_lord(shm, "mycluster"));
    close(told[0]);
    close(told[1]);
    lg_shm_free(shm);
}

/* A writer publishes as fast as it can and is killed at a random instant; every
 * snapshot read meanwhile and after is one that was published whole. */
static void snapshots_are_never_torn(void **state)
{
    (void)state;
    struct lg_shm *shm = NULL;
    assert_int_equal(lg_shm_new(1, 1, &shm), 0);
    pid_t pid = fork();
    if (pid == 0) {
        static struct lg_shm_legion legion;
        for (uint64_t i = 1;; i++) {
            legion.valor = legion.checksum = legion.quorum = i;
            memset(legion.scroll, (int)(i & 0x7F), sizeof legion.scroll);
            legion.members[LG_MEMBERS_MAX - 1].valor = i;
            lg_shm_legion_publish(shm, 0, &legion);
            if (i % 8 == 0)
                usleep(100);
        }
    }
    static struct lg_shm_legion seen;
    unsigned whole = 0;
    for (int i = 0; i < 5000 && !lg_shm_legion_read(shm, 0, &seen); i++)
        usleep(1000);
    for (int i = 0; i < 2000; i++) {
        if (i == 1500) {
            kill(pid, SIGKILL);
            assert_int_equal(waitpid(pid, NULL, 0), pid);
        }
        if (!lg_shm_legion_read(shm, 0, &seen))
            continue;
        whole++;
        assert_int_equal(seen.valor, seen.checksum);
        assert_int_equal(seen.valor, seen.members[LG_MEMBERS_MAX - 1].valor);
        assert_int_equal(seen.scroll[0], (char)(seen.valor & 0x7F));
        assert_int_equal(seen.scroll[sizeof seen.scroll - 1], (char)(seen.valor & 0x7F));
    }
    assert_true(whole >= 500); /* those after the writer's death at least */
    lg_shm_free(shm);
}

static void calls_are_whole_and_never_block(void **state)
{
    (void)state;
    struct lg_shm *shm;
    struct lg_call call = {.kind = LG_CALL_ALARM, .from = "me", .name = "mail"}, got;
    assert_int_equal(lg_shm_new(1, 0, &shm), 0);
    assert_false(lg_call_take(shm, &got));
    memset(call.text, 'x', LG_CALL_TEXT_MAX);
    pid_t pid = fork();
    assert_return_code(pid, 0);
    if (pid == 0)
        _exit(lg_call_send(shm, &call) ? 1 : 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(lg_call_take(shm, &got));
    assert_int_equal(got.kind, LG_CALL_ALARM);
    assert_string_equal(got.name, "mail");
    assert_string_equal(got.text, call.text);
    call = (struct lg_call){.kind = LG_CALL_SIGNAL, .number = 255};
    int err = 0, sent = 0;
    while (sent < 100000 && (err = lg_call_send(shm, &call)) == 0)
        sent++;
    assert_int_equal(err, -LG_E_LIMIT); /* nobody reads */
    for (int i = 0; i < sent; i++)
        assert_true(lg_call_take(shm, &got) && got.number == 255);
    assert_false(lg_call_take(shm, &got));
    lg_calls_leave(shm);
    assert_int_equal(lg_call_send(shm, &call), -LG_E_SYS); /* the last who could read is gone */
    lg_shm_free(shm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(a_child_is_read_by_the_parent),
        cmocka_unit_test(health_is_that_of_workers_which_serve),
        cmocka_unit_test(the_title_ends_with_its_lease),
        cmocka_unit_test(titles_are_read_only_for_workers),
        cmocka_unit_test(snapshots_are_never_torn),
        cmocka_unit_test(calls_are_whole_and_never_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
