/* The one list of error codes, with their texts. libc only.
 *
 * Functions return 0 or a negative code (-LG_E_x) that must be used; outputs
 * are untouched on failure. A room may add rows, never reuse one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_BASE_ERR_H
#define LG_BASE_ERR_H

#define LG_ERRORS(X)                                                                               \
    X(NOMEM, "out of memory")                                                                      \
    X(SYS, "system call failed")                                                                   \
    X(CONF, "configuration is wrong")                                                              \
    X(PROTO, "malformed input")                                                                    \
    X(LIMIT, "a limit was passed")                                                                 \
    X(AGAIN, "not complete yet")                                                                   \
    X(CLOSED, "the other side is gone")                                                            \
    X(TIMEOUT, "timed out")                                                                        \
    X(NOTFOUND, "not found")                                                                       \
    X(CRYPTO, "cipher failed")                                                                     \
    X(BUSY, "saturated")                                                                           \
    X(EXISTS, "exists already")                                                                    \
    X(INVALID, "invalid argument")

enum lg_err {
    LG_OK = 0,
#define LG_ERR_ENUM(name, text) LG_E_##name,
    LG_ERRORS(LG_ERR_ENUM)
#undef LG_ERR_ENUM
        LG_E_COUNT
};

/* The text of a code, negative or positive; never NULL. */
const char *lg_err_text(int err);

#define LG_MUST_USE __attribute__((warn_unused_result))

#endif
