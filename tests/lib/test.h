/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test harness: header only, TAP on standard output.
 *
 *	TEST(adds_up) { check_int(1 + 1, 2); }
 *	TEST_MAIN()
 *
 * Each TEST registers itself; one file of the program says TEST_MAIN(). A failed check marks its
 *test as failed and the test goes on; checks give their verdict, so `if (!check(p)) return;` stops
 *where going on makes no sense. skip("why") marks the test as skipped and returns from it. With
 *arguments the program runs only the tests of those names; --list prints the names.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

struct test_state {
	struct test *first, **last;
	bool failed; /* the running test */
	char skipped[256];
};

/* Defined by TEST_MAIN(). */
extern struct test_state test_state;

static inline void test_register(struct test *t)
{
	if (!test_state.last)
		test_state.last = &test_state.first;
	*test_state.last = t;
	test_state.last = &t->next;
}

#define TEST(id)                                                                    \
	static void test_run_##id(void);                                            \
	static struct test test_entry_##id = { .name = #id, .run = test_run_##id }; \
	__attribute__((constructor)) static void test_ctor_##id(void)               \
	{                                                                           \
		test_register(&test_entry_##id);                                    \
	}                                                                           \
	static void test_run_##id(void)

/* Notes a failure of the running test. Newlines in the text stay inside the TAP comment. */
__attribute__((format(printf, 3, 4))) static inline void test_fail(const char *file, int line,
								   const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = '|';
	printf("# %s:%d: %s\n", file, line, text);
	fflush(stdout);
	test_state.failed = true;
}

static inline bool test_check(bool ok, const char *text, const char *file, int line)
{
	if (!ok)
		test_fail(file, line, "failed: %s", text);
	return ok;
}

static inline bool test_check_int(long long a, long long b, const char *sa, const char *sb,
				  const char *file, int line)
{
	if (a != b)
		test_fail(file, line, "%s is %lld (0x%llx), not %s: %lld (0x%llx)", sa, a, a, sb, b,
			  b);
	return a == b;
}

static inline bool test_check_str(const char *a, const char *b, const char *sa, const char *file,
				  int line)
{
	bool ok = a && b ? !strcmp(a, b) : a == b;

	if (!ok)
		test_fail(file, line, "%s is %s%s%s, not %s%s%s", sa, a ? "\"" : "", a ? a : "NULL",
			  a ? "\"" : "", b ? "\"" : "", b ? b : "NULL", b ? "\"" : "");
	return ok;
}

static inline bool test_check_mem(const void *a, const void *b, size_t n, const char *sa,
				  const char *file, int line)
{
	const unsigned char *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i]) {
			test_fail(file, line, "%s differs at byte %zu: 0x%02x, not 0x%02x", sa, i,
				  x[i], y[i]);
			return false;
		}
	return true;
}

#define check(cond) test_check((cond), #cond, __FILE__, __LINE__)
/* The value first, then what it should be. Integers of any type, compared as 64 bits. */
#define check_int(a, b) test_check_int((long long)(a), (long long)(b), #a, #b, __FILE__, __LINE__)
#define check_str(a, b) test_check_str((a), (b), #a, __FILE__, __LINE__)
#define check_mem(a, b, n) test_check_mem((a), (b), (n), #a, __FILE__, __LINE__)

#define skip(...)                                                                      \
	do {                                                                           \
		snprintf(test_state.skipped, sizeof(test_state.skipped), __VA_ARGS__); \
		return;                                                                \
	} while (0)

static inline bool test_wanted(const struct test *t, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], t->name))
			return true;
	return argc < 2;
}

/* Runs one test and prints its line. A failed check counts, whatever skip() says. */
static inline bool test_one(const struct test *t, int number)
{
	test_state.failed = false;
	test_state.skipped[0] = '\0';
	t->run();
	if (test_state.failed)
		printf("not ok %d %s\n", number, t->name);
	else if (test_state.skipped[0])
		printf("ok %d %s # SKIP %s\n", number, t->name, test_state.skipped);
	else
		printf("ok %d %s\n", number, t->name);
	/* Flushed here, so that a child forked by the next test does not print this a second time.
	 */
	fflush(stdout);
	return !test_state.failed;
}

static inline int test_main(int argc, char **argv)
{
	bool list = argc == 2 && !strcmp(argv[1], "--list");
	int wanted = 0, number = 0, failed = 0;

	for (const struct test *t = test_state.first; t; t = t->next) {
		if (list)
			printf("%s\n", t->name);
		else if (test_wanted(t, argc, argv))
			wanted++;
	}
	if (list)
		return EXIT_SUCCESS;
	if (!wanted) {
		printf("Bail out! no such test\n");
		return EXIT_FAILURE;
	}
	printf("1..%d\n", wanted);
	fflush(stdout);
	for (const struct test *t = test_state.first; t; t = t->next)
		if (test_wanted(t, argc, argv) && !test_one(t, ++number))
			failed++;
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define TEST_MAIN()                           \
	struct test_state test_state;         \
	int main(int argc, char **argv)       \
	{                                     \
		return test_main(argc, argv); \
	}
