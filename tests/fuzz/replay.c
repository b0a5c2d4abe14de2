/* Runs every file of the directories named on the command line through a fuzz target, for builds without a
 * fuzzer. Fails where a directory cannot be read or none holds a file. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        return false;
    }
    /* A copy of exactly this size, so that reading past its end is seen. */
    uint8_t *data = malloc(size > 0 ? size : 1);
    bool whole = data && fread(data, 1, size, f) == size;
    fclose(f);
    if (whole) {
        LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    return whole;
}

/* Returns the number of files, -1 on failure; directories inside are not entered. */
static long replay_directory(const char *name)
{
    DIR *dir = opendir(name);
    if (!dir) {
        return -1;
    }
    long count = 0;
    const struct dirent *entry;
    while (count >= 0 && (entry = readdir(dir))) {
        char path[4096];
        struct stat st;
        int len = snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        if (len < 0 || (size_t)len >= sizeof path || stat(path, &st) != 0) {
            count = -1;
        } else if (S_ISREG(st.st_mode)) {
            count = replay_file(path, (size_t)st.st_size) ? count + 1 : -1;
        }
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    long total = 0;
    for (int i = 1; i < argc; i++) {
        long count = replay_directory(argv[i]);
        if (count < 0) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 1;
        }
        total += count;
    }
    printf("%ld inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
