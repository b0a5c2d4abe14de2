/* json_setup.h: what the JSON library wants once in a process, before threads start. */
#ifndef API_JSON_SETUP_H
#define API_JSON_SETUP_H

void json_setup(void);

#endif
