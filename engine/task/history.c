/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/task/history.h"

#include <errno.h>
#include <stdlib.h>

#define NOBODY HISTORY_NOBODY

/*
 * A task, or the helper that stands for a dead leader. born is the session that it is born into;
 * the leader of a session can be born into any (free), unless it has children who were born into
 * the same one before it made its own. below: of a leader, the deepest of the tasks that must be
 * above it when it is forked; they lie on one way up.
 */
struct node {
	pid_t sid, born;
	bool free, leads;
	size_t parent, below;
	unsigned int depth;
};

struct leader {
	pid_t sid;
	size_t node;
};

/* Two tasks that must both be above the leader of that session. y may be NOBODY. */
struct conflict {
	pid_t sid;
	size_t x, y;
};

struct solver {
	const struct history_task *tasks;
	size_t n;
	VEC(struct node) nodes;
	VEC(struct leader) leaders; /* by sid */
	VEC(struct conflict) conflicts;
	bool changed;
	size_t failed;
};

static int by_sid(const void *a, const void *b)
{
	const struct leader *x = a, *y = b;

	return x->sid < y->sid ? -1 : x->sid > y->sid;
}

static size_t leader_of(const struct solver *s, pid_t sid)
{
	struct leader key = { .sid = sid };
	const struct leader *l =
		s->leaders.n ? bsearch(&key, s->leaders.v, s->leaders.n, sizeof(key), by_sid)
			     : NULL;

	return l ? l->node : NOBODY;
}

/* Whether t is in that session at its end, or before it makes its own. */
static bool is_or_was_in(const struct solver *s, size_t t, pid_t sid)
{
	const struct node *n = &s->nodes.v[t];

	return n->sid == sid || (!n->free && n->born == sid);
}

static int add_leader(struct solver *s, pid_t sid, size_t node)
{
	struct leader *l = vec_add(&s->leaders);

	if (!l)
		return -ENOMEM;
	*l = (struct leader){ sid, node };
	return 0;
}

static int add_tasks(struct solver *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		const struct history_task *t = &s->tasks[i];
		struct node *n = vec_add(&s->nodes);

		if (!n)
			return -ENOMEM;
		n->sid = t->sid;
		n->leads = t->pid == t->sid;
		n->born = n->leads ? 0 : t->sid;
		n->free = n->leads && i > 0;
		n->parent = i ? t->parent : NOBODY;
		n->depth = i ? s->nodes.v[t->parent].depth + 1 : 0;
		if (n->leads && add_leader(s, t->sid, i) < 0)
			return -ENOMEM;
	}
	if (s->leaders.n)
		qsort(s->leaders.v, s->leaders.n, sizeof(s->leaders.v[0]), by_sid);
	return 0;
}

/* Helpers in place of the leaders that are not there. */
static int add_helpers(struct solver *s)
{
	VEC(struct leader) dead = { 0 };
	int r = 0;
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct leader *l;

		if (!s->tasks[i].sid || leader_of(s, s->tasks[i].sid) != NOBODY)
			continue;
		l = vec_add(&dead);
		if (!l) {
			r = -ENOMEM;
			break;
		}
		l->sid = s->tasks[i].sid;
	}
	if (dead.n)
		qsort(dead.v, dead.n, sizeof(dead.v[0]), by_sid);
	for (i = 0; i < dead.n && r == 0; i++) {
		struct node *n;

		if (i && dead.v[i].sid == dead.v[i - 1].sid)
			continue;
		n = vec_add(&s->nodes);
		if (!n || add_leader(s, dead.v[i].sid, s->nodes.n - 1) < 0) {
			r = -ENOMEM;
			break;
		}
		*n = (struct node){
			.sid = dead.v[i].sid, .free = true, .leads = true, .parent = NOBODY
		};
	}
	vec_free(&dead);
	if (s->leaders.n)
		qsort(s->leaders.v, s->leaders.n, sizeof(s->leaders.v[0]), by_sid);
	return r;
}

/*
 * A leader whose children are in the session of its parent has most simply been in that session
 * itself when it forked them.
 */
static void guess_births(struct solver *s)
{
	size_t i;

	for (i = 1; i < s->n; i++) {
		const struct node *c = &s->nodes.v[i];
		struct node *p = &s->nodes.v[c->parent];

		if (!c->leads && p->free && p->sid != c->sid &&
		    is_or_was_in(s, p->parent, c->sid)) {
			p->free = false;
			p->born = c->sid;
		}
	}
}

static void reset_below(struct solver *s)
{
	struct node *n;

	vec_foreach (n, &s->nodes)
		n->below = n->parent;
}

/* Whether t can be forked by its parent itself. */
static bool is_direct(const struct solver *s, size_t t)
{
	const struct node *n = &s->nodes.v[t];

	return n->below == n->parent && is_or_was_in(s, n->parent, n->born);
}

/* Who forks t, by what is known so far. */
static size_t forker_of(const struct solver *s, size_t t)
{
	const struct node *n = &s->nodes.v[t];

	if (n->below == NOBODY || n->free || is_or_was_in(s, n->below, n->born))
		return n->below;
	return leader_of(s, n->born);
}

/* Whether a is above t, or t itself, when t is born. */
static bool is_above(const struct solver *s, size_t a, size_t t)
{
	size_t steps = 0;

	while (t != a && t != NOBODY && steps++ < s->nodes.n)
		t = forker_of(s, t);
	return t == a;
}

/* Whether x came after the session: it is the leader, or below the leader or a born member. */
static bool came_after(const struct solver *s, size_t x, pid_t sid, size_t l)
{
	size_t steps = 0;

	for (; x != NOBODY && steps++ < s->nodes.n; x = forker_of(s, x))
		if (x == l || (!s->nodes.v[x].free && s->nodes.v[x].born == sid))
			return true;
	return false;
}

/* The leader of the session into which t is born must be forked below what must be above t. */
static int require(struct solver *s, size_t t)
{
	struct conflict *c;
	const struct node *n = &s->nodes.v[t];
	size_t l = leader_of(s, n->born), x = n->below, y = NOBODY;

	if (l != NOBODY && !came_after(s, x, n->born, l)) {
		y = s->nodes.v[l].below;
		if (y != NOBODY && is_above(s, x, y))
			return 0;
		if (y == NOBODY || is_above(s, y, x)) {
			s->nodes.v[l].below = x;
			s->changed = true;
			return 0;
		}
	}
	c = vec_add(&s->conflicts);
	if (!c)
		return -ENOMEM;
	*c = (struct conflict){ n->born, x, y };
	s->failed = t;
	return 0;
}

/* One pass over all that are not forked by their parents. */
static int pass(struct solver *s)
{
	size_t i;
	int r = 0;

	s->changed = false;
	s->conflicts.n = 0;
	for (i = 1; i < s->n && r == 0; i++) {
		const struct node *n = &s->nodes.v[i];

		if (!n->free && !is_direct(s, i) && !is_or_was_in(s, n->below, n->born))
			r = require(s, i);
	}
	return r;
}

/*
 * Makes x, a leader that is born anywhere so far, a born member of the session, since it cannot be
 * above its leader.
 */
static bool bear_into(struct solver *s, size_t x, pid_t sid)
{
	struct node *n = &s->nodes.v[x];
	size_t l = leader_of(s, sid);

	if (!n->free || n->sid == sid || (l != NOBODY && l < s->n && is_above(s, x, l)))
		return false;
	n->free = false;
	n->born = sid;
	return true;
}

/*
 * Ends one of the conflicts, by what must have been, and whether it could. Which of them, and which
 * of two tasks, is a guess: there are four ways to guess.
 */
static bool settle(struct solver *s, unsigned int way)
{
	size_t i, n = s->conflicts.n;

	for (i = 0; i < n; i++) {
		const struct conflict *c = &s->conflicts.v[way & 1 ? n - 1 - i : i];
		size_t x = c->x, y = c->y;

		if (y != NOBODY && (s->nodes.v[y].depth > s->nodes.v[x].depth) == !(way & 2)) {
			x = c->y;
			y = c->x;
		}
		if (bear_into(s, x, c->sid) || (y != NOBODY && bear_into(s, y, c->sid)))
			return true;
	}
	return false;
}

/* Passes move leaders deeper; if that does not do, one leader is given a session to be born into.
 */
static int solve_one_way(struct solver *s, unsigned int way)
{
	int r = 0;

	guess_births(s);
	do {
		size_t passes = 0;

		reset_below(s);
		do {
			r = pass(s);
		} while (r == 0 && s->changed && passes++ < s->nodes.n);
		if (r == 0 && s->changed) /* two leaders, each below the other */
			r = HISTORY_IMPOSSIBLE;
	} while (r == 0 && s->conflicts.n && settle(s, way));
	return r == 0 && s->conflicts.n ? HISTORY_IMPOSSIBLE : r;
}

static int solve(struct solver *s)
{
	unsigned int way;
	size_t i;
	int r = HISTORY_IMPOSSIBLE;

	for (way = 0; way < 4 && r == HISTORY_IMPOSSIBLE; way++) {
		for (i = 1; i < s->n; i++)
			s->nodes.v[i].free = s->nodes.v[i].leads;
		r = solve_one_way(s, way);
	}
	return r;
}

static struct history_birth *add_birth(struct history *h)
{
	struct history_birth *b = vec_add(&h->births);

	if (b)
		b->forker = b->heir = NOBODY;
	return b;
}

static int write_births(const struct solver *s, struct history *h)
{
	size_t i;

	for (i = 0; i < s->nodes.n; i++) {
		struct history_birth *b = add_birth(h);

		if (!b)
			return -ENOMEM;
		b->leads = s->nodes.v[i].leads;
		b->pid = i < s->n ? 0 : s->nodes.v[i].sid;
	}
	for (i = 1; i < s->nodes.n; i++) {
		struct history_birth *between;
		size_t f = forker_of(s, i);
		bool early;

		if (f == NOBODY) {
			h->failed = i < s->n ? i : 0;
			return HISTORY_IMPOSSIBLE;
		}
		early = !s->nodes.v[i].free && s->nodes.v[f].sid != s->nodes.v[i].born;
		h->births.v[i].forker = f;
		h->births.v[i].early = early;
		if (i >= s->n || f == s->nodes.v[i].parent)
			continue;
		between = add_birth(h);
		if (!between)
			return -ENOMEM;
		between->forker = f;
		between->early = early;
		between->heir = s->nodes.v[i].parent;
		h->births.v[i].forker = h->births.n - 1;
		h->births.v[i].early = false;
	}
	return 0;
}

struct move {
	size_t birth;
	unsigned int depth, level;
};

static int deepest_first(const void *a, const void *b)
{
	const struct move *x = a, *y = b;

	return x->depth > y->depth ? -1 : x->depth < y->depth;
}

/* Depths in the tree of births; NOBODY's worth when it has a ring. */
static int birth_depths(struct history *h, struct move *all)
{
	size_t i;

	for (i = 0; i < h->births.n; i++) {
		size_t at = i;

		all[i].birth = i;
		while (h->births.v[at].forker != NOBODY) {
			at = h->births.v[at].forker;
			if (++all[i].depth > h->births.n) {
				h->failed = i;
				return HISTORY_IMPOSSIBLE;
			}
		}
	}
	return 0;
}

struct round_key {
	unsigned int level;
	size_t heir, birth;
};

static int by_round(const void *a, const void *b)
{
	const struct round_key *x = a, *y = b;

	if (x->level != y->level)
		return x->level < y->level ? -1 : 1;
	return x->heir < y->heir ? -1 : x->heir > y->heir;
}

static int number_rounds(struct history *h, const unsigned int *level)
{
	VEC(struct round_key) keys = { 0 };
	size_t i;

	for (i = 0; i < h->births.n; i++) {
		struct round_key *k = h->births.v[i].heir == NOBODY ? NULL : vec_add(&keys);

		if (k)
			*k = (struct round_key){ level[i], h->births.v[i].heir, i };
		else if (h->births.v[i].heir != NOBODY)
			return -ENOMEM;
	}
	if (keys.n)
		qsort(keys.v, keys.n, sizeof(keys.v[0]), by_round);
	for (i = 0; i < keys.n; i++) {
		if (!i || by_round(&keys.v[i - 1], &keys.v[i]) != 0)
			h->rounds++;
		h->births.v[keys.v[i].birth].round = h->rounds;
	}
	vec_free(&keys);
	return 0;
}

/* A helper in between ends after all those that were born below it. */
static int order_ends(struct history *h)
{
	struct move *all = calloc(h->births.n, sizeof(*all));
	unsigned int *level = calloc(h->births.n, sizeof(*level));
	int r = all && level ? birth_depths(h, all) : -ENOMEM;
	size_t i;

	if (r == 0) {
		qsort(all, h->births.n, sizeof(*all), deepest_first);
		for (i = 0; i < h->births.n; i++) {
			size_t b = all[i].birth, f = h->births.v[b].forker;

			level[b] += h->births.v[b].heir != NOBODY;
			if (f != NOBODY && level[f] < level[b])
				level[f] = level[b];
		}
		r = number_rounds(h, level);
	}
	free(all);
	free(level);
	return r;
}

int history_plan(const struct history_task *tasks, size_t n, struct history *ret)
{
	struct solver s = { .tasks = tasks, .n = n };
	int r;

	*ret = (struct history){ .failed = NOBODY };
	r = add_tasks(&s);
	if (r == 0)
		r = add_helpers(&s);
	if (r == 0) {
		r = solve(&s);
		ret->failed = s.failed;
	}
	if (r == 0)
		r = write_births(&s, ret);
	if (r == 0)
		r = order_ends(ret);
	vec_free(&s.nodes);
	vec_free(&s.leaders);
	vec_free(&s.conflicts);
	return r;
}

void history_done(struct history *h)
{
	vec_free(&h->births);
}
