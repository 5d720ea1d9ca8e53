/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Session keyrings: a parent and a child with the same one, a child with its own. */
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

enum { TEXT_MAX = 256, PERM = 0x3f1b0008, MEMBERS = 2 };

struct member {
	bool own; /* joins a keyring without a name */
	char was[TEXT_MAX];
};

static struct {
	struct station *stations;
	struct member self, children[MEMBERS];
	char name[64];
} rings = { .children = { { .own = false }, { .own = true } } };

static int describe(char *ret)
{
	long n = syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, ret, TEXT_MAX);

	return n > 0 && n <= TEXT_MAX ? WL_OK : fail_errno("describing the session keyring");
}

static long id_of(int which)
{
	return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, which, 0);
}

/* The number of links to the user's keyring, and nothing else, that are in it. */
static int links(void)
{
	int32_t keys[8];
	long i, n = syscall(SYS_keyctl, KEYCTL_READ, KEY_SPEC_SESSION_KEYRING, keys, sizeof(keys));

	for (i = 0; i < n / (long)sizeof(*keys) && i < 8; i++)
		if (keys[i] != id_of(KEY_SPEC_USER_KEYRING))
			return -1;
	return (int)(n / (long)sizeof(*keys));
}

/* A child without its own finds its parent's by the name: there is but one. */
static int member_verify(void *arg)
{
	const struct member *m = arg;
	char now[TEXT_MAX];

	if (describe(now) != WL_OK)
		return WL_FAIL;
	if (strcmp(now, m->was))
		return fail("the session keyring is '%s' and was '%s'", now, m->was);
	if (m->own)
		return links() == 1 ? WL_OK
				    : fail("%d links in a keyring: %s", links(), strerror(errno));
	if (links() != 0)
		return fail("there are %d keys in the keyring", links());
	/* 0: it is the one that we have */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, rings.name) != 0)
		return fail("another keyring has the name '%s'", rings.name);
	return WL_OK;
}

static void member_run(void *arg)
{
	struct member *m = arg;
	struct station *s = &rings.stations[m - rings.children];

	if (m->own &&
	    (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
	     syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING) < 0))
		m->was[0] = '!';
	else
		describe(m->was);
	station_serve(s, member_verify, m);
}

static int ring_verify(void)
{
	int i, r = member_verify(&rings.self);

	for (i = 0; i < MEMBERS && r == WL_OK; i++)
		r = station_ask(&rings.stations[i],
				i ? "with its own keyring" : "with the same keyring");
	return r;
}

static int ring_setup(void)
{
	int i;

	snprintf(rings.name, sizeof(rings.name), "_ses.test-%d", (int)getpid());
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, rings.name) < 0)
		return skip("keyctl: %s", strerror(errno));
	if (syscall(SYS_keyctl, KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, PERM) < 0)
		return fail_errno("setting permissions");
	if (param("key", 0) &&
	    syscall(SYS_add_key, "user", "a key", "secret", 6, KEY_SPEC_SESSION_KEYRING) < 0)
		return fail_errno("adding a key");
	if (param("key", 0))
		return WL_OK;
	if (describe(rings.self.was) != WL_OK || !(rings.stations = stations_new(MEMBERS)))
		return WL_FAIL;
	for (i = 0; i < MEMBERS; i++)
		if (child_start(member_run, &rings.children[i]) < 0)
			return fail_errno("fork");
	return ring_verify();
}

static int verify(void)
{
	if (!param("key", 0))
		return ring_verify();
	return syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "a key", 0) < 0
		       ? fail_errno("the key is gone")
		       : WL_OK;
}

static struct workload_param params[] = { { "key", 0, "1: with a key inside" }, { 0 } };

const struct workload keyring_workloads[] = {
	{ .name = "keyring",
	  .help = "session keyrings, shared and not",
	  .params = params,
	  .setup = ring_setup,
	  .verify = verify },
	{ 0 },
};
