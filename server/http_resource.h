/* http_resource.h: the answers of the resources that take no test. For http_request.c alone. */
#ifndef SERVER_HTTP_RESOURCE_H
#define SERVER_HTTP_RESOURCE_H

#include "api/route.h"
#include "server/http.h"
#include "server/http_answer.h"

/* Sends the answer of the resource. MHD_NO: the connection is to be closed. */
enum MHD_Result http_resource_send(struct http_answer *answer, const struct http_env *env, enum route route);

#endif
