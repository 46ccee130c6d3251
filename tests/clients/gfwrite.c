/* Another client of a volume, for tests: does what it is told on standard input,
 * one line each, and answers "0" or an errno. Nothing of ours in it.
 *
 *   gfwrite VOLUME VOLFILE      or the HOST of a glusterd
 *
 *   replace PATH LENGTH    writes PATH.new and renames it over PATH
 *   write PATH OFFSET LENGTH   in place, made where it is missing, in one call
 *   truncate PATH SIZE
 *   unlink PATH    rename PATH NEWPATH    mkdir PATH
 *   hold PATH      opens it; drop closes what is held
 *
 * LENGTH bytes follow the line where one is given. Paths have no spaces.
 * SPDX-License-Identifier: Apache-2.0 */
#include <glusterfs/api/glfs.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENGTH_MAX ((size_t)16 << 20)

static glfs_fd_t *held;

static int status(int ret)
{
    return ret < 0 ? (errno ? errno : EIO) : 0;
}

/* One call writes it all: others see it wholly or not at all, as far as the
 * brick's file system goes. */
static int write_at(glfs_t *fs, const char *path, const char *bytes, size_t len, off_t offset)
{
    glfs_fd_t *fd = glfs_open(fs, path, O_WRONLY);
    if (!fd && errno == ENOENT)
        fd = glfs_creat(fs, path, O_WRONLY, 0644);
    if (!fd)
        return errno;
    ssize_t put = glfs_pwrite(fd, bytes, len, offset, 0, NULL, NULL);
    int err = put == (ssize_t)len ? 0 : put < 0 ? errno : EIO;
    int closed = status(glfs_close(fd));
    return err ? err : closed;
}

static int replace(glfs_t *fs, const char *path, const char *bytes, size_t len)
{
    char fresh[4096];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    int err = write_at(fs, fresh, bytes, len, 0);
    return err ? err : status(glfs_rename(fs, fresh, path));
}

static int hold(glfs_t *fs, const char *path)
{
    held = glfs_open(fs, path, O_RDONLY);
    return held ? 0 : errno;
}

static int drop(void)
{
    int err = held ? status(glfs_close(held)) : 0;
    held = NULL;
    return err;
}

/* `bytes` has room for LENGTH_MAX. */
static int obey(glfs_t *fs, const char *line, char *bytes)
{
    char path[1024], other[1024];
    size_t len = 0;
    long offset = 0;
    if (sscanf(line, "replace %1023s %zu", path, &len) == 2)
        return len <= LENGTH_MAX && fread(bytes, 1, len, stdin) == len
                   ? replace(fs, path, bytes, len)
                   : EINVAL;
    if (sscanf(line, "write %1023s %ld %zu", path, &offset, &len) == 3)
        return len <= LENGTH_MAX && fread(bytes, 1, len, stdin) == len
                   ? write_at(fs, path, bytes, len, offset)
                   : EINVAL;
    if (sscanf(line, "truncate %1023s %ld", path, &offset) == 2)
        return status(glfs_truncate(fs, path, offset));
    if (sscanf(line, "unlink %1023s", path) == 1)
        return status(glfs_unlink(fs, path));
    if (sscanf(line, "rename %1023s %1023s", path, other) == 2)
        return status(glfs_rename(fs, path, other));
    if (sscanf(line, "mkdir %1023s", path) == 1)
        return status(glfs_mkdir(fs, path, 0755));
    if (sscanf(line, "hold %1023s", path) == 1)
        return hold(fs, path);
    return strncmp(line, "drop", 4) == 0 ? drop() : EINVAL;
}

int main(int argc, char **argv)
{
    char line[4096];
    char *bytes = malloc(LENGTH_MAX);
    glfs_t *fs = argc == 3 ? glfs_new(argv[1]) : NULL;
    if (!bytes || !fs ||
        (argv[2][0] == '/' ? glfs_set_volfile(fs, argv[2])
                           : glfs_set_volfile_server(fs, "tcp", argv[2], 24007)) ||
        glfs_set_logging(fs, "/dev/null", 0) || glfs_init(fs)) {
        fprintf(stderr, "gfwrite VOLUME VOLFILE: %s\n", strerror(errno));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        errno = 0;
        printf("%d\n", obey(fs, line, bytes));
        fflush(stdout);
    }
    _exit(0); /* glfs_fini takes seconds */
}
