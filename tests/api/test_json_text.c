#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/json_text.h"

static struct json_text t;

static void assert_taken(const char *expected)
{
    char *text = json_text_take(&t);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void inside(json_t *value, size_t start)
{
    assert_int_equal(json_text_add_inside(&t, value, JSON_COMPACT), start);
    json_decref(value);
}

/* From the smallest room on, so that it grows at every place. */
static void test_put_together(void **state)
{
    (void)state;
    for (size_t room = 1; room < 80; room++) {
        json_text_init(&t, room);
        json_text_open(&t, "{");
        inside(json_object(), 1);
        inside(json_pack("{s:i, s:s}", "a", 1, "b", "x{"), 1);
        inside(json_object(), 15);
        json_text_open(&t, "\"c\":[");
        json_text_open(&t, "{");
        json_text_close(&t, '}');
        json_text_add(&t, "", 0);
        json_text_add(&t, "2", 1);
        inside(json_pack("[i, []]", 3), 26);
        json_text_close(&t, ']');
        json_text_add(&t, "\"d\":null", 8);
        json_text_close(&t, '}');
        assert_taken("{\"a\":1,\"b\":\"x{\",\"c\":[{},2,3,[]],\"d\":null}");
    }
}

static void test_value(void **state)
{
    (void)state;
    json_t *value = json_pack("{s:[]}", "a");
    json_text_init(&t, 1);
    json_text_add_value(&t, value, JSON_COMPACT);
    assert_taken("{\"a\":[]}");
    json_decref(value);
}

/* A value that could not be made, and what Jansson has no memory to write. */
static void *no_malloc(size_t size)
{
    (void)size;
    return NULL;
}

static void test_failure(void **state)
{
    (void)state;
    json_text_init(&t, 64);
    json_text_open(&t, "{");
    (void)json_text_add_inside(&t, NULL, JSON_COMPACT);
    json_text_close(&t, '}');
    assert_null(json_text_take(&t));

    json_t *value = json_pack("{s:i}", "a", 1);
    json_text_init(&t, 64);
    json_text_open(&t, "{");
    json_set_alloc_funcs(no_malloc, free);
    (void)json_text_add_inside(&t, value, JSON_COMPACT);
    json_set_alloc_funcs(malloc, free);
    json_text_close(&t, '}');
    assert_null(json_text_take(&t));

    json_decref(value);
}

/* The text itself grows by these. */
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long until_failure = -1;

void *__wrap_realloc(void *old, size_t size)
{
    return until_failure-- == 0 ? NULL : __real_realloc(old, size);
}

/* Also where memory is there again at once. */
static void test_no_room(void **state)
{
    (void)state;
    char *text = NULL;
    for (long n = 0; text == NULL; n++) {
        json_text_init(&t, 1);
        until_failure = n;
        json_text_open(&t, "\"ports\":[");
        json_text_add(&t, "1", 1);
        json_text_close(&t, ']');
        text = json_text_take(&t);
        assert_true(text != NULL ? n > 0 : n < 100);
    }
    until_failure = -1;
    assert_string_equal(text, "\"ports\":[1]");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_together),
        cmocka_unit_test(test_value),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
