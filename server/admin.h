/* admin.h: the operator's own port: /metrics, /healthz and /readyz, with connections of its own, so that it
 * answers whatever becomes of the public one. */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include <stdbool.h>
#include <stddef.h>

struct admin;
struct http_env;

/* Takes a listening socket over, whatever the result (`shared` as for http_quiesce()), and logs where it is.
 * `env` as for the public port; which resources there are, keys and connections are not taken from it. NULL
 * with a sentence in `why`. */
struct admin *admin_create(int socket, bool shared, const struct http_env *env, char *why, size_t why_size);

/* Answers what has been asked, and ends. */
void admin_free(struct admin **admin);

#endif
