/* Which parts of a distributed volume are there. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef GL_PARTS_H
#define GL_PARTS_H

/* Reads what the attribute "glusterfs.pathinfo" of a directory says: how many parts
 * answered, and of how many the volume is made. 0, or -1 for another text. */
int gl_parts_read(const char *pathinfo, unsigned *ret_here, unsigned *ret_all);

#endif
