/* roff.h: text for a manual page (man(7)), so that troff shows it as it is. */
#ifndef SERVER_ROFF_H
#define SERVER_ROFF_H

#include <stdio.h>

/* One word inside a line: hyphens as minus signs, so that options can be copied from the page. */
void roff_word(FILE *out, const char *word);

/* Running text, broken into lines, the last one ended; spaces and line ends count alike. */
void roff_text(FILE *out, const char *text);

#endif
