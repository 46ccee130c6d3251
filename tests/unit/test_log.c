/* Log: one record is one line whatever it holds; children speak through the
 * master.
 * SPDX-License-Identifier: Apache-2.0 */
#include "log/line.h"
#include "log/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

static struct lg_log_record record_of(const char *text, size_t len)
{
    return (struct lg_log_record){
        .time_us = 1795300860123456,
        .level = LG_LOG_INFO,
        .process = LG_SLICE("worker 1"),
        .room = LG_SLICE("http"),
        .text = lg_slice_from(text, len),
    };
}

static void check_human(const char *text, size_t len, const char *expected)
{
    char line[LG_LOG_LINE_MAX + 1];
    struct lg_log_record record = record_of(text, len);
    size_t n = lg_log_line_render(&record, LG_LOG_HUMAN, line);
    line[n] = '\0';
    const char *at = strstr(line, " worker 1 [http] ");
    assert_non_null(at);
    assert_string_equal(at + strlen(" worker 1 [http] "), expected);
}

static void human_lines_cannot_be_forged(void **state)
{
    (void)state;
    check_human("plain", 5, "plain\n");
    check_human("a\nb\r\tc", 6, "a\\nb\\r\\tc\n");
    check_human("\x1b[31m\0x", 7, "\\x1b[31m\\x00x\n");
    check_human("gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f\n");
    check_human("\xff\xfe", 2, "\\xff\\xfe\n");
    check_human("\xc0\x8a", 2, "\\xc0\\x8a\n");          /* overlong newline */
    check_human("\xc2\x85", 2, "\\xc2\\x85\n");          /* NEL */
    check_human("\xe2\x80\xa8", 3, "\\xe2\\x80\\xa8\n"); /* LINE SEPARATOR */
    check_human("\xed\xa0\x80", 3, "\\xed\\xa0\\x80\n"); /* surrogate */
    check_human("\xf0\x9f\x8f\x9b", 4, "\xf0\x9f\x8f\x9b\n");
}

static void json_is_valid_for_every_byte(void **state)
{
    (void)state;
    char text[512];
    for (int i = 0; i < 256; i++) {
        text[2 * i] = (char)i;
        text[2 * i + 1] = (char)(i * 7);
    }
    char line[LG_LOG_LINE_MAX + 1];
    struct lg_log_record record = record_of(text, sizeof text);
    record.cut = true;
    size_t n = lg_log_line_render(&record, LG_LOG_JSON, line);
    assert_true(n > 1 && line[n - 1] == '\n');
    assert_null(memchr(line, '\n', n - 1));
    json_t *root = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
    assert_non_null(root);
    assert_string_equal(
        json_string_value(json_object_get(root, "time")), "2026-11-21T22:41:00.123Z");
    assert_string_equal(json_string_value(json_object_get(root, "level")), "info");
    assert_string_equal(json_string_value(json_object_get(root, "process")), "worker 1");
    assert_string_equal(json_string_value(json_object_get(root, "room")), "http");
    json_decref(root);
}

static void packets_survive_and_bad_ones_are_refused(void **state)
{
    (void)state;
    char packet[LG_LOG_PACKET_MAX];
    struct lg_log_record in = record_of("hello", 5);
    struct lg_log_record out;
    size_t len = lg_log_line_pack(&in, packet);
    assert_int_equal(lg_log_line_unpack(packet, len, &out), 0);
    assert_true(lg_slice_eq(out.text, LG_SLICE("hello")));
    assert_true(lg_slice_eq(out.process, LG_SLICE("worker 1")));
    for (size_t n = 0; n < len; n++)
        assert_int_equal(lg_log_line_unpack(packet, n, &out), -LG_E_PROTO);
    packet[12] = 9; /* level */
    assert_int_equal(lg_log_line_unpack(packet, len, &out), -LG_E_PROTO);
}

/* Reads what the sink's file holds, at most `size` - 1 bytes. */
static size_t slurp(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    assert_true(n >= 0);
    text[n] = '\0';
    return (size_t)n;
}

static void child_lines_go_through_the_master(void **state)
{
    (void)state;
    char path[] = "/tmp/legatus-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct lg_log_setup setup = {.path = path, .format = LG_LOG_HUMAN, .level = LG_LOG_INFO};
    assert_int_equal(lg_log_open(&setup), 0);
    int pair[2];
    assert_int_equal(lg_log_pair(pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        lg_log_child(pair[0], "worker 7");
        lg_log(LG_LOG_WARN, "test", "one %d\ntwo", 1);
        lg_log(LG_LOG_DEBUG, "test", "dropped by its level");
        char big[20000];
        memset(big, 'x', sizeof big - 1);
        big[sizeof big - 1] = '\0';
        lg_log(LG_LOG_INFO, "test", "%s", big);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(lg_log_drain(pair[1]), 2);
    assert_int_equal(lg_log_drain(pair[1]), 0);
    lg_log(LG_LOG_INFO, "uwsgi-legion", "node: a");
    char text[32768];
    slurp(path, text, sizeof text);
    assert_non_null(strstr(text, " worker 7 warning [test] one 1\\ntwo\n"));
    assert_non_null(strstr(text, "x... [cut]\n"));
    assert_null(strstr(text, "dropped by"));
    assert_non_null(strstr(text, " master [uwsgi-legion] node: a\n"));
    close(pair[0]);
    close(pair[1]);
    unlink(path);
}

static void one_line_a_second_and_how_many_more(void **state)
{
    (void)state;
    char path[] = "/tmp/legatus-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct lg_log_setup setup = {.path = path, .level = LG_LOG_INFO};
    assert_int_equal(lg_log_open(&setup), 0);
    struct lg_log_limit limit = {0};
    struct lg_log_limit other = {0};
    for (int i = 0; i < 100; i++)
        lg_log_limited(&limit, LG_LOG_INFO, "test", "trouble %d", i);
    lg_log_limited(&limit, LG_LOG_DEBUG, "test", "below the level: not counted");
    lg_log_limited(&other, LG_LOG_INFO, "test", "other");
    usleep(1010000);
    lg_log_limited(&limit, LG_LOG_INFO, "test", "once more");
    char text[32768];
    slurp(path, text, sizeof text);
    assert_non_null(strstr(text, "[test] trouble 0\n"));
    assert_null(strstr(text, "trouble 1"));
    assert_non_null(strstr(text, "[test] other\n"));
    assert_non_null(strstr(text, "[test] once more (and 99 more like it before)\n"));
    unlink(path);
}

static void a_full_pipe_never_blocks_and_is_told(void **state)
{
    (void)state;
    char path[] = "/tmp/legatus-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct lg_log_setup setup = {.path = path, .format = LG_LOG_JSON, .level = LG_LOG_INFO};
    assert_int_equal(lg_log_open(&setup), 0);
    int pair[2];
    assert_int_equal(lg_log_pair(pair), 0);
    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        lg_log_child(pair[0], "worker 1");
        for (int i = 0; i < 20000; i++)
            lg_log(LG_LOG_INFO, "test", "line %d", i);
        _exit(read(go[0], &c, 1) == 1 ? (lg_log(LG_LOG_INFO, "test", "last"), 0) : 1);
    }
    unsigned total = 0;
    usleep(300000); /* let it fill the queue */
    for (int i = 0; i < 1000; i++)
        total += lg_log_drain(pair[1]);
    assert_true(total > 0);
    assert_int_equal(write(go[1], "x", 1), 1);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 1000; i++)
        total += lg_log_drain(pair[1]);
    static char text[8 << 20];
    slurp(path, text, sizeof text);
    assert_non_null(strstr(text, "\"message\":\"last\"}"));
    if (total < 20001)
        assert_non_null(strstr(text, "log lines were lost"));
    int fds[4] = {pair[0], pair[1], go[0], go[1]};
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(human_lines_cannot_be_forged),
        cmocka_unit_test(json_is_valid_for_every_byte),
        cmocka_unit_test(packets_survive_and_bad_ones_are_refused),
        cmocka_unit_test(child_lines_go_through_the_master),
        cmocka_unit_test(one_line_a_second_and_how_many_more),
        cmocka_unit_test(a_full_pipe_never_blocks_and_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
