#include "probe/base/memory.h"

static _Thread_local unsigned long failures, failures_before;
static _Thread_local unsigned guards;

unsigned long memory_failures(void)
{
    return failures;
}

void memory_guard_enter(void)
{
    if (guards++ == 0) {
        failures_before = failures;
    }
}

bool memory_guard_leave(void)
{
    guards--;
    return failures == failures_before;
}

bool memory_note_failure(void)
{
    failures++;
    return guards > 0;
}
