/* SPDX-License-Identifier: MIT */
/* Stands in for Criterion in builds with sanitizers. Under ThreadSanitizer Criterion does not
 * start: its arena wants addresses that the sanitizer keeps for itself. Under AddressSanitizer it
 * calls a test passed though leaks were found when its process ended.
 *
 * It has only what our tests use. Each Test() runs in a forked child, one after another; a failed
 * cr_assert ends the child. */
#ifndef DP_TESTS_RIG_STANDIN_CRITERION_CRITERION_H
#define DP_TESTS_RIG_STANDIN_CRITERION_CRITERION_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct standin_test {
	const char *suite, *name;
	void (*body)(void);
	void (*init)(void), (*fini)(void);
	unsigned timeout; /* seconds; 0: none */
	struct standin_test *next;
};

/* What all tests of a suite begin and end with, whose own options name nothing else. */
struct standin_suite {
	const char *name;
	void (*init)(void), (*fini)(void);
	struct standin_suite *next;
};

static struct standin_suite *standin_suites;
static struct standin_test *standin_tests, **standin_end = &standin_tests;
static bool standin_failed; /* a cr_expect of this child */

#define TestSuite(Suite, ...)                                                                      \
	static struct standin_suite Suite##_suite = {.name = #Suite, __VA_ARGS__};                 \
	__attribute__((constructor)) static void Suite##_suite_add(void)                           \
	{                                                                                          \
		Suite##_suite.next = standin_suites;                                               \
		standin_suites = &Suite##_suite;                                                   \
	}                                                                                          \
	struct standin_suite

#define Test(Suite, Name, ...)                                                                     \
	static void Suite##_##Name##_body(void);                                                   \
	static struct standin_test Suite##_##Name##_test = {                                       \
		.suite = #Suite, .name = #Name, .body = Suite##_##Name##_body, __VA_ARGS__};       \
	__attribute__((constructor)) static void Suite##_##Name##_add(void)                        \
	{                                                                                          \
		*standin_end = &Suite##_##Name##_test;                                             \
		standin_end = &Suite##_##Name##_test.next;                                         \
	}                                                                                          \
	static void Suite##_##Name##_body(void)

/* ---- checks ---- */

/* exit() and not _exit(): the sanitizer's word comes last. */
static inline void standin_fail(bool fatal, const char *file, int line, const char *what,
	const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, text);
	__atomic_store_n(&standin_failed, true, __ATOMIC_RELAXED); /* from any thread */
	if (fatal)
		exit(1);
}

/* A message, with its arguments, is optional. */
#define STANDIN(Fatal, Ok, What, ...)                                                              \
	((Ok) ? (void)0 : standin_fail(Fatal, __FILE__, __LINE__, What, "" __VA_ARGS__))

#define cr_assert_fail(...)        STANDIN(true, false, "fail", __VA_ARGS__)
#define cr_assert(A, ...)          STANDIN(true, A, #A, __VA_ARGS__)
#define cr_assert_not(A, ...)      STANDIN(true, !(A), "not " #A, __VA_ARGS__)
#define cr_assert_null(A, ...)     STANDIN(true, (A) == NULL, #A " == NULL", __VA_ARGS__)
#define cr_assert_not_null(A, ...) STANDIN(true, (A) != NULL, #A " != NULL", __VA_ARGS__)
#define cr_assert_eq(A, B, ...)    STANDIN(true, (A) == (B), #A " == " #B, __VA_ARGS__)
#define cr_assert_neq(A, B, ...)   STANDIN(true, (A) != (B), #A " != " #B, __VA_ARGS__)
#define cr_assert_lt(A, B, ...)    STANDIN(true, (A) < (B), #A " < " #B, __VA_ARGS__)
#define cr_assert_leq(A, B, ...)   STANDIN(true, (A) <= (B), #A " <= " #B, __VA_ARGS__)
#define cr_assert_gt(A, B, ...)    STANDIN(true, (A) > (B), #A " > " #B, __VA_ARGS__)
#define cr_assert_geq(A, B, ...)   STANDIN(true, (A) >= (B), #A " >= " #B, __VA_ARGS__)
#define cr_assert_float_eq(A, B, Epsilon, ...)                                                     \
	STANDIN(true, fabs((A) - (B)) <= (Epsilon), #A " == " #B, __VA_ARGS__)
#define cr_assert_str_eq(A, B, ...)  STANDIN(true, strcmp(A, B) == 0, #A " == " #B, __VA_ARGS__)
#define cr_assert_str_neq(A, B, ...) STANDIN(true, strcmp(A, B) != 0, #A " != " #B, __VA_ARGS__)
#define cr_assert_str_empty(A, ...)  STANDIN(true, *(A) == '\0', #A " == \"\"", __VA_ARGS__)
#define cr_assert_arr_eq(A, B, Size, ...)                                                          \
	STANDIN(true, memcmp(A, B, Size) == 0, #A " == " #B, __VA_ARGS__)

#define cr_expect_null(A, ...)      STANDIN(false, (A) == NULL, #A " == NULL", __VA_ARGS__)
#define cr_expect_not_null(A, ...)  STANDIN(false, (A) != NULL, #A " != NULL", __VA_ARGS__)
#define cr_expect_eq(A, B, ...)     STANDIN(false, (A) == (B), #A " == " #B, __VA_ARGS__)
#define cr_expect_str_eq(A, B, ...) STANDIN(false, strcmp(A, B) == 0, #A " == " #B, __VA_ARGS__)

#define cr_skip_test(Why)                                                                          \
	do {                                                                                       \
		fprintf(stderr, "skipped: %s\n", Why);                                             \
		exit(0);                                                                           \
	} while (0)

/* ---- running ---- */

static void standin_run_child(const struct standin_test *t)
{
	const struct standin_suite none = {0}, *suite = standin_suites;
	while (suite && strcmp(suite->name, t->suite))
		suite = suite->next;
	if (!suite)
		suite = &none;
	alarm(t->timeout);
	if (t->init || suite->init)
		(t->init ? t->init : suite->init)();
	t->body();
	if (t->fini || suite->fini)
		(t->fini ? t->fini : suite->fini)();
	exit(standin_failed);
}

int main(void)
{
	unsigned count = 0, failed = 0;
	for (const struct standin_test *t = standin_tests; t; t = t->next, count++) {
		int status = -1;
		fflush(NULL);
		pid_t pid = fork();
		if (pid == 0)
			standin_run_child(t);
		if (pid > 0)
			waitpid(pid, &status, 0);
		if (status) /* also where only a sanitizer complains */
			printf("FAILED %s.%s: wait status 0x%x\n", t->suite, t->name, status);
		failed += status != 0;
	}
	printf("%u tests, %u failed\n", count, failed);
	return failed || !count;
}

#endif
