/* caps.h: the capabilities of one connection: which word was seen in which phase, as the server spelled it.
 */
#ifndef REPORT_CAPS_H
#define REPORT_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/base/arena.h"

enum caps_phase { CAPS_GREETING, CAPS_COMMAND, CAPS_STARTTLS, CAPS_PHASES };

#define CAPS_IN(phase) (1u << (phase))
#define CAPS_ANY (CAPS_IN(CAPS_PHASES) - 1)

struct caps_list {
    struct text *names;
    size_t count, room;
};

struct caps {
    struct caps_list phase[CAPS_PHASES]; /* each word once, in the order of the phase */
    struct caps_list all;                /* union in order of first appearance, first spelling */
    uint8_t *phases;                     /* for each of `all`: mask of CAPS_IN() */
    size_t phases_room;
    uint32_t *slots; /* hash index over `all` */
    size_t slot_count;
    bool truncated;
};

/* Notes one word; a word already known in this phase (compared without regard to case) is noted once only.
 * What exceeds LIMIT_CAPABILITIES or LIMIT_CAPABILITY_BYTES is dropped and `truncated` set. The bytes are
 * copied into the arena. False: out of memory. */
bool caps_add(struct caps *caps, struct arena *arena, enum caps_phase phase, struct text word);

/* Whether the word was seen in any of the phases of the mask. O(1). */
bool caps_has(const struct caps *caps, unsigned phases, const char *word);

/* Whether any word of these phases starts with the prefix. */
bool caps_has_prefix(const struct caps *caps, unsigned phases, const char *prefix);

/* Whether any list was seen in these phases. */
bool caps_seen(const struct caps *caps, unsigned phases);

#endif
