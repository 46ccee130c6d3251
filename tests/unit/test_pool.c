/* Lanes and threads: src/server/pool.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

static struct lg_shm_worker slot;

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int running, most, done;
    bool open;
    int order[64];
};

struct work {
    struct lg_job job; /* first */
    struct gate *gate;
    int name;
};

static void work_run(struct lg_job *job)
{
    struct work *work = (struct work *)(void *)job;
    struct gate *gate = work->gate;
    pthread_mutex_lock(&gate->lock);
    gate->running++;
    if (gate->running > gate->most)
        gate->most = gate->running;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        pthread_cond_wait(&gate->changed, &gate->lock);
    gate->running--;
    pthread_mutex_unlock(&gate->lock);
}

static void work_done(struct lg_job *job)
{
    struct work *work = (struct work *)(void *)job;
    struct gate *gate = work->gate;
    pthread_mutex_lock(&gate->lock);
    gate->order[gate->done++] = work->name;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_init(struct gate *gate, bool open)
{
    *gate = (struct gate){.open = open};
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
}

static void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

/* Waits until *what is at least `value`; fails the test after 5 s. */
static void wait_for(struct gate *gate, const int *what, int value)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 5;
    int late = 0;
    pthread_mutex_lock(&gate->lock);
    while (*what < value && !late)
        late = pthread_cond_timedwait(&gate->changed, &gate->lock, &end);
    pthread_mutex_unlock(&gate->lock);
    assert_false(late);
}

static struct lg_pool *new_pool(unsigned threads)
{
    struct lg_pool *pool = NULL;
    assert_int_equal(lg_pool_new(threads, &slot, &pool), 0);
    return pool;
}

static void make(struct work *works, int count, struct gate *gate, struct lg_lane *lane)
{
    for (int i = 0; i < count; i++)
        works[i] = (struct work){
            .job = {.lane = lane, .run = work_run, .done = work_done}, .gate = gate, .name = i};
}

static void test_a_lane_runs_no_more_than_its_limit(void **state)
{
    (void)state;
    struct lg_pool *pool = new_pool(4);
    struct lg_lane *lane = lg_pool_lane(pool, "two", 2, 64);
    struct gate gate;
    gate_init(&gate, false);
    struct work works[8];
    make(works, 8, &gate, lane);
    for (int i = 0; i < 8; i++)
        assert_int_equal(lg_pool_submit(pool, &works[i].job), 0);
    wait_for(&gate, &gate.running, 2);
    assert_int_equal(lg_pool_waiting(pool), 6);
    gate_open(&gate);
    wait_for(&gate, &gate.done, 8);
    assert_int_equal(gate.most, 2);
}

static void test_one_thread_keeps_the_order(void **state)
{
    (void)state;
    struct lg_pool *pool = new_pool(1);
    struct gate gate;
    gate_init(&gate, true);
    struct work works[20];
    make(works, 20, &gate, lg_pool_default_lane(pool));
    for (int i = 0; i < 20; i++)
        assert_int_equal(lg_pool_submit(pool, &works[i].job), 0);
    wait_for(&gate, &gate.done, 20);
    for (int i = 0; i < 20; i++)
        assert_int_equal(gate.order[i], i);
}

static void test_a_full_queue_is_busy(void **state)
{
    (void)state;
    struct lg_pool *pool = new_pool(1);
    struct lg_lane *lane = lg_pool_lane(pool, "short", 1, 2);
    struct gate gate;
    gate_init(&gate, false);
    struct work works[4];
    make(works, 4, &gate, lane);
    assert_int_equal(lg_pool_submit(pool, &works[0].job), 0);
    wait_for(&gate, &gate.running, 1);
    assert_int_equal(lg_pool_submit(pool, &works[1].job), 0);
    assert_int_equal(lg_pool_submit(pool, &works[2].job), 0);
    assert_int_equal(lg_pool_submit(pool, &works[3].job), -LG_E_BUSY);
    gate_open(&gate);
    wait_for(&gate, &gate.done, 3);
}

static void test_what_waits_can_be_withdrawn(void **state)
{
    (void)state;
    struct lg_pool *pool = new_pool(1);
    struct gate gate;
    gate_init(&gate, false);
    struct work works[4];
    make(works, 4, &gate, lg_pool_default_lane(pool));
    for (int i = 0; i < 4; i++)
        assert_int_equal(lg_pool_submit(pool, &works[i].job), 0);
    wait_for(&gate, &gate.running, 1);
    assert_false(lg_pool_withdraw(pool, &works[0].job)); /* runs already */
    assert_true(lg_pool_withdraw(pool, &works[3].job));  /* the last */
    assert_true(lg_pool_withdraw(pool, &works[1].job));  /* one in between */
    gate_open(&gate);
    wait_for(&gate, &gate.done, 2);
    assert_int_equal(gate.order[0], 0);
    assert_int_equal(gate.order[1], 2);
}

static void test_a_hung_lane_leaves_the_others_a_thread(void **state)
{
    (void)state;
    struct lg_pool *pool = new_pool(1);
    struct lg_lane *dead = lg_pool_lane(pool, "dead", 1, 8);
    struct lg_lane *live = lg_pool_lane(pool, "live", 1, 8);
    struct gate hung, flowing;
    gate_init(&hung, false);
    gate_init(&flowing, true);
    struct work stuck[2], works[5];
    make(stuck, 2, &hung, dead);
    make(works, 5, &flowing, live);
    assert_int_equal(lg_pool_submit(pool, &stuck[0].job), 0);
    wait_for(&hung, &hung.running, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(lg_pool_submit(pool, &works[i].job), 0);
    lg_pool_overdue(pool, &stuck[0].job);
    wait_for(&flowing, &flowing.done, 4);
    /* All the dead lane may run is overdue: it says so at once. */
    assert_int_equal(lg_pool_submit(pool, &stuck[1].job), -LG_E_BUSY);
    gate_open(&hung);
    wait_for(&hung, &hung.done, 1);
    assert_int_equal(lg_pool_submit(pool, &stuck[1].job), 0);
    assert_int_equal(lg_pool_submit(pool, &works[4].job), 0);
    wait_for(&hung, &hung.done, 2);
    wait_for(&flowing, &flowing.done, 5);
}

static void test_two_hung_lanes_leave_the_third_a_thread(void **state)
{
    (void)state;
    struct lg_pool *pool = new_pool(1);
    struct lg_lane *dead[2] = {lg_pool_lane(pool, "a", 1, 8), lg_pool_lane(pool, "b", 1, 8)};
    struct gate hung, flowing;
    gate_init(&hung, false);
    gate_init(&flowing, true);
    struct work stuck[2], work;
    for (int i = 0; i < 2; i++) {
        make(&stuck[i], 1, &hung, dead[i]);
        assert_int_equal(lg_pool_submit(pool, &stuck[i].job), 0);
        wait_for(&hung, &hung.running, i + 1);
        lg_pool_overdue(pool, &stuck[i].job);
    }
    make(&work, 1, &flowing, lg_pool_default_lane(pool));
    assert_int_equal(lg_pool_submit(pool, &work.job), 0);
    wait_for(&flowing, &flowing.done, 1);
    gate_open(&hung);
    wait_for(&hung, &hung.done, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lane_runs_no_more_than_its_limit),
        cmocka_unit_test(test_one_thread_keeps_the_order),
        cmocka_unit_test(test_a_full_queue_is_busy),
        cmocka_unit_test(test_what_waits_can_be_withdrawn),
        cmocka_unit_test(test_a_hung_lane_leaves_the_others_a_thread),
        cmocka_unit_test(test_two_hung_lanes_leave_the_third_a_thread),
    };
    return cmocka_run_group_tests_name("server/pool", tests, NULL, NULL);
}
