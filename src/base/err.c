/* Error texts. libc only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

const char *lg_err_text(int err)
{
    static const char *const texts[] = {"no error",
#define LG_ERR_TEXT(name, text) text,
        LG_ERRORS(LG_ERR_TEXT)
#undef LG_ERR_TEXT
    };
    if (err < 0)
        err = -err;
    return err < LG_E_COUNT ? texts[err] : "unknown error";
}
