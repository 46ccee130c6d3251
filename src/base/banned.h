/* Functions nobody may call: each has a bounded or reentrant sister.
 * Force-included by the build into every file of ours.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef LG_BASE_BANNED_H
#define LG_BASE_BANNED_H

/* The declarations come first, so that poisoning hits our calls only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok localtime gmtime ctime asctime

#endif
