/* origin.h: the request that started a test, for the log: what joins the line of the one with that of the
 * other. */
#ifndef SERVER_ORIGIN_H
#define SERVER_ORIGIN_H

#include "api/traceparent.h"
#include "probe/base/ip.h"

#define HTTP_ID_SIZE 65

struct origin {
    char id[HTTP_ID_SIZE]; /* of the request; empty: the test was started by none */
    struct traceparent trace;
    struct ip client; /* family 0: not known */
};

#endif
