#include "api/json_setup.h"

#include <jansson.h>

void json_setup(void)
{
    /* Objects are hashed by a process-wide seed, which the first of them would otherwise set. */
    json_object_seed(0);
}
