/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plans for forking trees, tried out on a model of the kernel's rules: who is born into which
 * session, and who inherits the children of the dead.
 */
#include "engine/task/history.h"

#include "tests/lib/test.h"

enum { MAX = 640, LIVES = 200, INIT = 0 };

struct proc {
	pid_t sid; /* pid is the index + 1 */
	int parent;
	bool dead, gone, reaper;
};

struct model {
	struct proc p[MAX];
	int n;
};

static int model_fork(struct model *m, int forker, bool as_sibling)
{
	struct proc *c = &m->p[m->n];

	*c = (struct proc){ .sid = m->p[forker].sid,
			    .parent = as_sibling ? m->p[forker].parent : forker };
	return m->n++;
}

static void model_die(struct model *m, int who)
{
	int i, heir = m->p[who].parent;

	while (heir != INIT && !(m->p[heir].reaper && !m->p[heir].dead))
		heir = m->p[heir].parent;
	for (i = 0; i < m->n; i++)
		if (m->p[i].parent == who && i != INIT)
			m->p[i].parent = heir;
	m->p[who].dead = true;
}

/* ---- a plan carried out ---- */

struct trial {
	struct model m;
	const struct history *h;
	int proc[MAX]; /* of each birth */
	pid_t leaders[MAX];
};

static void carry_out(struct trial *t, size_t b, pid_t (*pid_of)(void *arg, size_t birth),
		      void *arg)
{
	const struct history_birth *births = t->h->births.v;
	size_t c;

	for (c = 0; c < t->h->births.n; c++)
		if (births[c].forker == b && births[c].early) {
			t->proc[c] = model_fork(&t->m, t->proc[b], false);
			carry_out(t, c, pid_of, arg);
		}
	if (births[b].leads)
		t->m.p[t->proc[b]].sid = pid_of(arg, b);
	for (c = 0; c < t->h->births.n; c++)
		if (births[c].forker == b && !births[c].early) {
			t->proc[c] = model_fork(&t->m, t->proc[b], false);
			carry_out(t, c, pid_of, arg);
		}
}

static void end_helpers(struct trial *t)
{
	const struct history_birth *births = t->h->births.v;
	unsigned int round;
	size_t b;

	for (round = 1; round <= t->h->rounds; round++) {
		size_t heir = HISTORY_NOBODY;

		for (b = 0; b < t->h->births.n; b++) {
			if (births[b].round != round)
				continue;
			check(heir == HISTORY_NOBODY || heir == births[b].heir);
			heir = births[b].heir;
			t->m.p[t->proc[heir]].reaper = true;
			model_die(&t->m, t->proc[b]);
			t->m.p[t->proc[b]].gone = true;
		}
		check(heir != HISTORY_NOBODY);
		t->m.p[t->proc[heir]].reaper = false;
	}
}

struct shape {
	struct history_task tasks[MAX];
	size_t n;
	const struct history *h;
};

static pid_t pid_of(void *arg, size_t birth)
{
	const struct shape *s = arg;

	return birth < s->n ? s->tasks[birth].pid : s->h->births.v[birth].pid;
}

/* Everybody has its parent and its session, and helpers have no children left. */
static bool check_result(const struct shape *s, const struct trial *t)
{
	bool ok = true;
	size_t i;
	int k;

	for (i = 0; i < s->n; i++) {
		const struct proc *p = &t->m.p[t->proc[i]];

		ok &= check_int(p->sid, s->tasks[i].sid);
		if (i)
			ok &= check_int(p->parent, t->proc[s->tasks[i].parent]);
	}
	for (i = s->n; i < s->h->births.n; i++)
		for (k = 0; k < t->m.n; k++)
			ok &= check(t->m.p[k].gone || t->m.p[k].parent != t->proc[i]);
	return ok;
}

static bool try_plan(struct shape *s, const struct history *h)
{
	struct trial t = { .h = h };

	s->h = h;
	t.m.n = 1; /* INIT, in session 0 */
	t.proc[0] = model_fork(&t.m, INIT, false);
	carry_out(&t, 0, pid_of, s);
	if (!check_int(t.m.n, (long long)h->births.n + 1))
		return false;
	end_helpers(&t);
	return check_result(s, &t);
}

static void check_shape(struct shape *s, size_t helpers)
{
	struct history h;

	if (!check_int(history_plan(s->tasks, s->n, &h), 0))
		return;
	check_int(h.births.n, s->n + helpers);
	try_plan(s, &h);
	history_done(&h);
}

#define SHAPE(...)                                                              \
	(&(struct shape){ .tasks = { __VA_ARGS__ },                             \
			  .n = sizeof((struct history_task[]){ __VA_ARGS__ }) / \
			       sizeof(struct history_task) })
#define T(pid, sid, parent)      \
	{                        \
		pid, sid, parent \
	}
#define FIRST HISTORY_NOBODY

TEST(plain_trees_need_no_helpers)
{
	check_shape(SHAPE(T(1, 1, FIRST)), 0);
	check_shape(SHAPE(T(1, 1, FIRST), T(2, 1, 0), T(3, 3, 0), T(4, 3, 2)), 0);
	check_shape(SHAPE(T(1, 0, FIRST), T(2, 0, 0), T(3, 3, 0), T(4, 3, 2)), 0);
}

TEST(children_from_before_the_session_was_made)
{
	check_shape(SHAPE(T(1, 1, FIRST), T(2, 2, 0), T(3, 1, 1)), 0);
	check_shape(SHAPE(T(1, 0, FIRST), T(2, 2, 0), T(3, 0, 1)), 0);
	/* two generations of it */
	check_shape(SHAPE(T(1, 1, FIRST), T(2, 2, 0), T(3, 3, 1), T(4, 1, 2)), 0);
}

TEST(orphans_of_living_leaders)
{
	/* a shell, and what a child of it has left behind */
	check_shape(SHAPE(T(1, 1, FIRST), T(2, 2, 0), T(3, 2, 0)), 1);
	/* two levels up */
	check_shape(SHAPE(T(1, 1, FIRST), T(2, 1, 0), T(3, 3, 1), T(4, 3, 0)), 1);
	/* one for each level */
	check_shape(SHAPE(T(1, 1, FIRST), T(2, 1, 0), T(3, 3, 1), T(4, 3, 0), T(5, 3, 1)), 2);
}

TEST(orphans_of_dead_leaders)
{
	check_shape(SHAPE(T(1, 1, FIRST), T(3, 2, 0)), 2);
	check_shape(SHAPE(T(1, 1, FIRST), T(3, 2, 0), T(4, 2, 0), T(5, 2, 1)), 3);
	/* members below two parents, one above the other */
	check_shape(SHAPE(T(1, 1, FIRST), T(2, 1, 0), T(4, 3, 0), T(5, 3, 1)), 3);
}

TEST(leaders_that_were_members_of_a_dead_session)
{
	/* 2 and 3 are both leaders now, and have forked before */
	check_shape(SHAPE(T(1, 1, FIRST), T(2, 2, 0), T(3, 3, 0), T(5, 4, 1), T(6, 4, 2)), 2 + 1);
}

TEST(impossible_trees_are_named)
{
	struct history h;
	const struct history_task outside[] = { T(1, 1, FIRST), T(2, 2, 0), T(3, 0, 0),
						T(4, 0, 1) };
	const struct history_task apart[] = {
		T(1, 1, FIRST), T(2, 1, 0), T(3, 1, 0), T(5, 4, 1), T(6, 4, 2),
	};

	check_int(history_plan(outside, 3, &h), 0);
	history_done(&h);
	check_int(history_plan(apart, 5, &h), HISTORY_IMPOSSIBLE);
	check(h.failed < 5);
	history_done(&h);
}

/* ---- random histories ---- */

static uint32_t seed;

static unsigned int roll(unsigned int below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static int pick(const struct model *m, bool dead)
{
	int i, tries;

	for (tries = 0; tries < 50; tries++) {
		i = 1 + (int)roll((unsigned)m->n - 1);
		if (!m->p[i].gone && m->p[i].dead == dead)
			return i;
	}
	return -1;
}

/* Index 0 is the world outside, 1 the root of the tree: it never dies, and inherits. */
static void live(struct model *m, int events, bool reapers, bool siblings)
{
	int i, who;

	*m = (struct model){ .n = 2 };
	m->p[1] = (struct proc){ .sid = roll(2) ? 2 : 0, .reaper = true };
	for (i = 0; i < events && m->n < LIVES; i++) {
		unsigned int what = roll(20);

		who = pick(m, what == 19);
		if (who < 0)
			continue;
		if (what < 9)
			model_fork(m, who, siblings && who > 1 && roll(4) == 0);
		else if (what < 12 && m->p[who].sid != who + 1)
			m->p[who].sid = who + 1;
		else if (what < 17 && who > 1)
			model_die(m, who);
		else if (what < 19 && reapers && who > 1)
			m->p[who].reaper = !m->p[who].reaper;
		else if (what == 19)
			m->p[who].gone = true;
	}
}

/* What a dump finds: parents first. */
static void survey(const struct model *m, struct shape *s)
{
	size_t at;
	int i;

	s->n = 1;
	s->tasks[0] = (struct history_task){ 2, m->p[1].sid, HISTORY_NOBODY };
	for (at = 0; at < s->n; at++)
		for (i = 2; i < m->n; i++)
			if (!m->p[i].gone && m->p[i].parent == s->tasks[at].pid - 1) {
				s->tasks[s->n++] = (struct history_task){ i + 1, m->p[i].sid, at };
			}
}

/* Of so many histories, how many have a plan; each plan must be right. */
static int planned(int histories, bool reapers, bool siblings)
{
	struct model m;
	struct shape s;
	int i, good = 0;

	for (i = 0; i < histories; i++) {
		struct history h;
		int r;

		seed = (uint32_t)i * 7919 + 1;
		live(&m, 20 + (int)roll(280), reapers, siblings);
		survey(&m, &s);
		r = history_plan(s.tasks, s.n, &h);
		if (r == 0 && !try_plan(&s, &h)) {
			test_fail(__FILE__, __LINE__, "history %d", i);
			history_done(&h);
			return good;
		}
		good += r == 0;
		history_done(&h);
	}
	printf("# %d of %d histories have a plan\n", good, histories);
	return good;
}

TEST(random_histories_with_one_reaper)
{
	check(planned(2000, false, false) >= 1998);
}

TEST(random_histories_with_siblings)
{
	check(planned(2000, false, true) >= 1998);
}

TEST(random_histories_with_many_reapers)
{
	check(planned(2000, true, true) >= 1995);
}

TEST_MAIN()
