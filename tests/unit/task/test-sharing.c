/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Along which ways shared tables are handed on. */
#include "engine/task/sharing.h"

#include <string.h>

#include "tests/lib/test.h"

enum { NODES = 6 };

/* Plans for processes with these forkers and groups. The index where two ways cross, or -1. */
static int plan(const size_t *forkers, const uint32_t *groups, uint32_t *ret_carry)
{
	struct share_node nodes[NODES] = { 0 };
	size_t i, at = 0;
	int r;

	for (i = 0; i < NODES; i++)
		nodes[i] = (struct share_node){ forkers[i], groups[i], 99 };
	r = share_plan(nodes, NODES, &at);
	for (i = 0; i < NODES; i++)
		ret_carry[i] = nodes[i].carry;
	return r == SHARE_CROSSES ? (int)at : -1;
}

static void check_carry(const uint32_t *carry, const uint32_t *want)
{
	size_t i;

	for (i = 0; i < NODES; i++)
		check_int((int)carry[i], (int)want[i]);
}

static const size_t tree[NODES] = { SHARE_NOBODY, 0, 0, 1, 2, 4 };

TEST(nobody_shares)
{
	uint32_t carry[NODES];

	check_int(plan(tree, (uint32_t[]){ 1, 2, 3, 4, 5, 6 }, carry), -1);
	check_carry(carry, (uint32_t[]){ 0, 0, 0, 0, 0, 0 });
	/* the dead have no tables */
	check_int(plan(tree, (uint32_t[]){ 1, 0, 0, 4, 5, 6 }, carry), -1);
	check_carry(carry, (uint32_t[]){ 0, 0, 0, 0, 0, 0 });
}

TEST(parent_and_child)
{
	uint32_t carry[NODES];

	check_int(plan(tree, (uint32_t[]){ 1, 2, 3, 2, 5, 5 }, carry), -1);
	check_carry(carry, (uint32_t[]){ 0, 2, 0, 2, 5, 5 });
}

TEST(cousins)
{
	uint32_t carry[NODES];

	/* 3 and 5 meet at the root */
	check_int(plan(tree, (uint32_t[]){ 1, 2, 3, 7, 5, 7 }, carry), -1);
	check_carry(carry, (uint32_t[]){ 7, 7, 7, 7, 7, 7 });
}

TEST(three_of_a_group)
{
	uint32_t carry[NODES];

	check_int(plan(tree, (uint32_t[]){ 1, 8, 8, 4, 5, 8 }, carry), -1);
	check_carry(carry, (uint32_t[]){ 8, 8, 8, 0, 8, 8 });
}

TEST(ways_that_cross)
{
	uint32_t carry[NODES];

	/* siblings 1 and 2 through their parent, which shares with 3 */
	check_int(plan(tree, (uint32_t[]){ 9, 8, 8, 9, 5, 6 }, carry), 0);
	/* 3 and 4 by way of the root, 1 and 2 by way of it as well */
	check(plan(tree, (uint32_t[]){ 1, 8, 8, 7, 7, 6 }, carry) >= 0);
}

TEST(memory_cannot_be_left)
{
	struct share_node on_the_way = { .carry = 7 }, member = { .carry = 7, .group = 7 };
	struct share_node alone = { .group = 5 };

	check(share_stays_with(&on_the_way, SHARED_FILES, false));
	check(share_stays_with(&on_the_way, SHARED_DIRS, false));
	check(!share_stays_with(&on_the_way, SHARED_MEMORY, false));
	check(!share_stays_with(&on_the_way, SHARED_HANDLERS, false));
	check(share_stays_with(&on_the_way, SHARED_MEMORY, true));
	check(share_stays_with(&member, SHARED_MEMORY, false));
	check(share_stays_with(&alone, SHARED_MEMORY, false));
}

/* 0 forks 1 to 3; 4 is a helper of 0 that forks 5 */
static const struct share_kin family[NODES] = {
	{ SHARE_NOBODY, SHARE_NOBODY, .leads = true, .sid = 1, .memory = 1 },
	{ 0, 0, .sid = 1, .memory = 7, .handlers = 2 },
	{ 0, 0, .sid = 1, .memory = 7, .handlers = 3 },
	{ 0, 0, .sid = 1, .memory = 7, .handlers = 3 },
	{ 0, SHARE_NOBODY, .helper = true },
	{ 4, 0, .sid = 1, .memory = 1 },
};

TEST(siblings_with_common_memory)
{
	struct share_kin kin[NODES];

	memcpy(kin, family, sizeof(kin));
	check_int(share_siblings(kin, NODES), 0);
	check(!kin[1].sibling && kin[1].forker == 0);
	check(kin[2].sibling && kin[2].forker == 1);
	/* who has the handlers as well */
	check(kin[3].sibling && kin[3].forker == 2);
	/* it has that of its parent, through the helper */
	check(!kin[5].sibling && kin[5].forker == 4);
}

TEST(siblings_that_cannot_clone_each_other)
{
	struct share_kin kin[NODES];

	memcpy(kin, family, sizeof(kin));
	kin[2].sid = 2;
	kin[3].exit_signal = 9;
	check_int(share_siblings(kin, NODES), 0);
	check(!kin[2].sibling && !kin[3].sibling);
	memcpy(kin, family, sizeof(kin));
	kin[1].forker = 2; /* it is below */
	kin[2].leads = true;
	kin[3].parent = 1;
	check_int(share_siblings(kin, NODES), 0);
	check(!kin[2].sibling && !kin[3].sibling);
}

TEST(no_way)
{
	const size_t two_roots[NODES] = { SHARE_NOBODY, SHARE_NOBODY, 0, 1, 2, 4 };
	uint32_t carry[NODES];

	check(plan(two_roots, (uint32_t[]){ 1, 2, 3, 7, 5, 7 }, carry) >= 0);
}

TEST_MAIN()
