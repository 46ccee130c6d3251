/* Runs a fuzz target over every file of the folders given: the corpus as a test,
 * with any compiler. Prints one TAP line per file. Depends on nothing of ours.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *folder, const char *name)
{
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = len > 0 && (size_t)len < sizeof(path) ? fopen(path, "rb") : NULL;
    uint8_t *data = malloc(FILE_MAX);
    int result = -1;

    if (file && data) {
        size_t size = fread(data, 1, FILE_MAX, file);
        /* A copy of the exact size, so that ASan sees a read past the end. */
        uint8_t *exact = realloc(data, size ? size : 1);

        data = exact ? exact : data;
        if (!ferror(file) && feof(file)) {
            LLVMFuzzerTestOneInput(data, size);
            result = 0;
        }
    }
    if (file) {
        fclose(file);
    }
    free(data);
    return result;
}

/* The number of files replayed, or -1. */
static int replay_folder(const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);
    int replayed = 0;
    int failed = 0;

    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;

        if (name[0] != '.') {
            /* Said beforehand: when the target crashes, this is the file. */
            fprintf(stderr, "# %s/%s\n", folder, name);
            bool good = replay_file(folder, name) == 0;

            replayed++;
            failed += !good;
            printf("%s %d - %s\n", good ? "ok" : "not ok", replayed, name);
        }
        free(entries[i]);
    }
    free(entries);
    return count < 0 || failed ? -1 : replayed;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int replayed = replay_folder(argv[i]);

        if (replayed <= 0) {
            fprintf(stderr, "%s: nothing to replay, or not readable\n", argv[i]);
            return EXIT_FAILURE;
        }
        total += replayed;
    }
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
