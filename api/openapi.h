/* openapi.h: the text of openapi.yaml, put into the program when it is built. */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include <stddef.h>

extern const unsigned char openapi_yaml[];
extern const size_t openapi_yaml_len;

#endif
