#include "server/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct keys {
    char **items;
    size_t count;
};

static bool add(struct keys *keys, const char *key)
{
    char **items = realloc(keys->items, (keys->count + 1) * sizeof *items);
    if (items) {
        keys->items = items;
        items[keys->count] = strdup(key);
    }
    return items && items[keys->count++];
}

static bool read_keys(struct keys *keys, FILE *file)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    bool ok = true;
    while (ok && (len = getline(&line, &room, file)) >= 0) {
        while (len > 0 && strchr(" \t\r\n", line[len - 1])) {
            line[--len] = '\0';
        }
        const char *key = line + strspn(line, " \t");
        ok = key[0] == '\0' || key[0] == '#' || add(keys, key);
    }
    ok = ok && !ferror(file);
    free(line);
    return ok;
}

struct keys *keys_load(const char *path, char *why, size_t why_size)
{
    struct keys *keys = calloc(1, sizeof *keys);
    FILE *file = fopen(path, "re");
    if (!keys || !file || !read_keys(keys, file)) {
        snprintf(why, why_size, "%s cannot be read: %s", path, strerror(errno));
        keys_free(&keys);
    } else if (keys->count == 0) {
        snprintf(why, why_size, "%s holds no key: write one a line", path);
        keys_free(&keys);
    }
    if (file) {
        fclose(file);
    }
    return keys;
}

void keys_free(struct keys **keys)
{
    struct keys *k = *keys;
    *keys = NULL;
    for (size_t i = 0; k && i < k->count; i++) {
        free(k->items[i]);
    }
    if (k) {
        free(k->items);
    }
    free(k);
}

/* Looks at every byte even after a difference. */
static bool same(const char *a, const char *b)
{
    size_t n = strlen(a);
    unsigned difference = 0;
    if (n != strlen(b)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        difference |= (unsigned)(unsigned char)a[i] ^ (unsigned)(unsigned char)b[i];
    }
    return difference == 0;
}

bool keys_accept(const struct keys *keys, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    bool found = false;
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    const char *key = authorization + sizeof scheme - 1;
    key += strspn(key, " ");
    for (size_t i = 0; i < keys->count; i++) {
        found |= same(keys->items[i], key);
    }
    return found;
}
