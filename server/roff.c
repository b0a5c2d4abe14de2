#include "server/roff.h"

#include <stddef.h>
#include <string.h>

#define LINE_CHARS 70u

static void put(FILE *out, char c)
{
    switch (c) {
    case '-':
        fputs("\\-", out);
        break;
    case '\\':
        fputs("\\(rs", out);
        break;
    case '^':
        fputs("\\(ha", out);
        break;
    case '~':
        fputs("\\(ti", out);
        break;
    case '`':
        fputs("\\(ga", out);
        break;
    default:
        fputc(c, out);
        break;
    }
}

void roff_word(FILE *out, const char *word)
{
    for (; word[0] != '\0'; word++) {
        put(out, word[0]);
    }
}

void roff_text(FILE *out, const char *text)
{
    size_t column = 0;
    for (text += strspn(text, " \n"); text[0] != '\0'; text += strspn(text, " \n")) {
        size_t len = strcspn(text, " \n");
        if (column > 0 && column + 1 + len > LINE_CHARS) {
            fputc('\n', out);
            column = 0;
        } else if (column > 0) {
            fputc(' ', out);
            column++;
        }
        /* At the beginning of a line these would make it a request. */
        if (column == 0 && (text[0] == '.' || text[0] == '\'')) {
            fputs("\\&", out);
        }
        for (size_t i = 0; i < len; i++) {
            put(out, text[i]);
        }
        text += len;
        column += len;
    }
    fputc('\n', out);
}
