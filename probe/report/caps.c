#include "probe/report/caps.h"

#include <string.h>

#include "probe/base/limits.h"

#define FIRST_SLOTS 64u

/* How many slots are looked at for one word. At half load chance never makes it so many; a server that picks
 * words with colliding hashes loses them to `truncated` instead of costing us time. */
#define PROBES 64u

/* A word already noted, or the free slot where it would go; NOWHERE: neither within PROBES. */
enum place { FOUND, FREE, NOWHERE };

/* Triangular steps, which visit every slot of a power of two. A slot holds an index into `all` plus one, 0:
 * free. */
static enum place find(const struct caps *caps, struct text word, size_t *slot)
{
    if (caps->slot_count == 0) {
        return NOWHERE;
    }
    size_t at = text_hash_nocase(word);
    for (size_t step = 1; step <= PROBES; step++) {
        *slot = at & (caps->slot_count - 1);
        uint32_t entry = caps->slots[*slot];
        if (entry == 0) {
            return FREE;
        }
        if (text_equal_nocase(caps->all.names[entry - 1], word)) {
            return FOUND;
        }
        at += step;
    }
    return NOWHERE;
}

/* Doubles the index so that one more word leaves it at most half full. */
static bool make_room(struct caps *caps, struct arena *arena)
{
    if (2 * (caps->all.count + 1) <= caps->slot_count) {
        return true;
    }
    size_t count = caps->slot_count > 0 ? 2 * caps->slot_count : FIRST_SLOTS;
    uint32_t *slots = arena_alloc(arena, count * sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    caps->slots = slots;
    caps->slot_count = count;
    for (size_t i = 0; i < caps->all.count; i++) {
        size_t slot;
        if (find(caps, caps->all.names[i], &slot) == FREE) {
            slots[slot] = (uint32_t)(i + 1);
        } else {
            caps->truncated = true;
        }
    }
    return true;
}

static bool append(struct caps_list *list, struct arena *arena, struct text word)
{
    struct text *names =
        arena_grow(arena, list->names, sizeof *names, list->count, list->count + 1, &list->room);
    if (names == NULL) {
        return false;
    }
    list->names = names;
    names[list->count++] = word;
    return true;
}

/* A word not seen in any phase so far goes into `all` and the index. */
static bool add_new(struct caps *caps, struct arena *arena, enum caps_phase phase, struct text word,
                    size_t slot)
{
    struct text copy = arena_text(arena, word.data, word.len);
    if (copy.data == NULL) {
        return false;
    }
    uint8_t *phases = arena_grow(arena, caps->phases, sizeof *phases, caps->all.count, caps->all.count + 1,
                                 &caps->phases_room);
    if (phases == NULL) {
        return false;
    }
    caps->phases = phases;
    phases[caps->all.count] = 0;
    if (!append(&caps->all, arena, copy)) {
        return false;
    }
    caps->slots[slot] = (uint32_t)caps->all.count;
    if (!append(&caps->phase[phase], arena, copy)) {
        return false;
    }
    phases[caps->all.count - 1] = (uint8_t)CAPS_IN(phase);
    return true;
}

/* A word known from another phase; this phase keeps its own spelling. */
static bool add_known(struct caps *caps, struct arena *arena, enum caps_phase phase, struct text word,
                      size_t index)
{
    struct text first = caps->all.names[index];
    if (memcmp(first.data, word.data, word.len) != 0) {
        first = arena_text(arena, word.data, word.len);
    }
    if (first.data == NULL || !append(&caps->phase[phase], arena, first)) {
        return false;
    }
    caps->phases[index] |= (uint8_t)CAPS_IN(phase);
    return true;
}

bool caps_add(struct caps *caps, struct arena *arena, enum caps_phase phase, struct text word)
{
    if (word.len == 0) {
        return true;
    }
    if (word.len > LIMIT_CAPABILITY_BYTES) {
        caps->truncated = true;
        return true;
    }
    size_t slot;
    enum place place = find(caps, word, &slot);
    if (place == FOUND && (caps->phases[caps->slots[slot] - 1] & CAPS_IN(phase)) != 0) {
        return true;
    }
    if (caps->phase[phase].count >= LIMIT_CAPABILITIES) {
        caps->truncated = true;
        return true;
    }
    if (place == FOUND) {
        return add_known(caps, arena, phase, word, caps->slots[slot] - 1);
    }
    if (!make_room(caps, arena)) {
        return false;
    }
    if (find(caps, word, &slot) != FREE) {
        caps->truncated = true;
        return true;
    }
    return add_new(caps, arena, phase, word, slot);
}

bool caps_has(const struct caps *caps, unsigned phases, const char *word)
{
    size_t slot;
    return find(caps, text_of(word), &slot) == FOUND && (caps->phases[caps->slots[slot] - 1] & phases) != 0;
}

bool caps_has_prefix(const struct caps *caps, unsigned phases, const char *prefix)
{
    struct text wanted = text_of(prefix);
    for (size_t i = 0; i < caps->all.count; i++) {
        struct text start = caps->all.names[i];
        if ((caps->phases[i] & phases) == 0 || start.len < wanted.len) {
            continue;
        }
        start.len = wanted.len;
        if (text_equal_nocase(start, wanted)) {
            return true;
        }
    }
    return false;
}

bool caps_seen(const struct caps *caps, unsigned phases)
{
    for (unsigned phase = 0; phase < CAPS_PHASES; phase++) {
        if ((phases & CAPS_IN(phase)) != 0 && caps->phase[phase].count > 0) {
            return true;
        }
    }
    return false;
}
