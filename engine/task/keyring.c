/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The session keyring, keyrings(7). Runtimes give each container one of its own, so that it cannot
 * use keys of the host; without this a restored container would have that of whoever restores it.
 *
 * A task that has the engine's keyring, or that of its user, gets what the restoring engine has.
 * Other tasks that have one in common have one in common again, if one of them has got it from the
 * other by a fork, or if it has a name. Keyrings with keys inside are refused; a link to the
 * keyring of the user is kept.
 */
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/task/attr.h"
#include "engine/task/task.h"
#include "proto/core.pb-c.h"
#include "proto/task.pb-c.h"

/* The kernel's names: of the keyring that a user has by default, and of one without a name. */
#define OF_THE_USER "_uid_ses."
#define NAMELESS "_ses"

enum { TEXT_MAX = 512, KEYS_MAX = 16, OVERFLOW_ID = 65534 };

/* What the leader tells: results of five steps, the text and the keys. */
enum { STEP_ID, STEP_TEXT, STEP_KEYS, STEP_USER, STEP_PROCESS };

static int ask_id(struct program *p, const char *what, int which)
{
	return prog_syscall(p, what, PROG_GO_ON, SYS_keyctl, PN(KEYCTL_GET_KEYRING_ID), PN(which),
			    PN(0));
}

static void ask(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_KEYRING];

	/* in the order of the enum */
	a->step = ask_id(p, "asking for the session keyring", KEY_SPEC_SESSION_KEYRING);
	a->data = prog_bytes(p, NULL, TEXT_MAX + KEYS_MAX * sizeof(int32_t));
	prog_syscall(p, "describing the session keyring", PROG_GO_ON, SYS_keyctl,
		     PN(KEYCTL_DESCRIBE), PN(KEY_SPEC_SESSION_KEYRING), PD(a->data), PN(TEXT_MAX));
	prog_syscall(p, "reading the session keyring", PROG_GO_ON, SYS_keyctl, PN(KEYCTL_READ),
		     PN(KEY_SPEC_SESSION_KEYRING), PD(a->data + TEXT_MAX),
		     PN(KEYS_MAX * sizeof(int32_t)));
	ask_id(p, "asking for the user's keyring", KEY_SPEC_USER_KEYRING);
	ask_id(p, "asking for the keyring of the process", KEY_SPEC_PROCESS_KEYRING);
}

/* "keyring;UID;GID;PERM;NAME". */
static int parse(struct dump *d, const char *text, KeyringEntry *e)
{
	int at = 0;

	if (sscanf(text, "keyring;%u;%u;%x;%n", &e->uid, &e->gid, &e->perm, &at) != 3 || !at)
		return -EBADMSG;
	e->name = arena_strdup(&d->arena, text + at);
	return e->name ? 0 : -ENOMEM;
}

static void look_at_keys(struct dump *d, struct dump_thread *th, const struct program *p,
			 KeyringEntry *e)
{
	const struct asked *a = &th->asked[ASKED_KEYRING];
	const char *out = prog_out(p, a->data);
	int64_t len = prog_result(p, a->step + STEP_KEYS), other = 0, i;
	int64_t user = prog_result(p, a->step + STEP_USER);

	for (i = 0; i < len / (int64_t)sizeof(int32_t); i++) {
		int32_t key = 0;

		if (i < KEYS_MAX)
			memcpy(&key, out + TEXT_MAX + i * (int64_t)sizeof(key), sizeof(key));
		if (key && key == user)
			e->has_user_linked = e->user_linked = true;
		else
			other++;
	}
	if (other)
		dump_refuse(d, th->task,
			    "its session keyring '%s' holds %ld keys, which cannot be kept; hint: "
			    "keyctl clear @s",
			    e->name, (long)other);
}

static int capture(struct dump *d, struct dump_thread *th, const struct program *p, CoreEntry *core,
		   struct err *err)
{
	const struct asked *a = &th->asked[ASKED_KEYRING];
	int64_t id = prog_result(p, a->step + STEP_ID);
	KeyringEntry *e;
	int r;

	if (prog_result(p, a->step + STEP_PROCESS) > 0)
		dump_refuse(d, th->task, "it has a keyring of the process, which cannot be kept");
	/* a kernel without keys, or no keyring */
	if (id < 0 || id == syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0))
		return 0;
	e = arena_alloc(&d->arena, sizeof(*e));
	if (!e)
		return err_nomem(err);
	keyring_entry__init(e);
	e->id = (uint32_t)id;
	if (prog_result(p, a->step + STEP_TEXT) > TEXT_MAX)
		r = -E2BIG;
	else if (prog_result(p, a->step + STEP_TEXT) < 0)
		r = (int)prog_result(p, a->step + STEP_TEXT);
	else
		r = parse(d, prog_out(p, a->data), e);
	if (r < 0)
		return err_sys(err, r, "describing the session keyring of task %d", th->task->pid);
	/* what a user has by default is his, and not the task's */
	if (strncmp(e->name, OF_THE_USER, strlen(OF_THE_USER)) == 0)
		return 0;
	core->tc->session_keyring = e;
	look_at_keys(d, th, p, e);
	return 0;
}

static int check(struct restore *r, struct restore_thread *th, struct err *err)
{
	const KeyringEntry *e = th->core->tc ? th->core->tc->session_keyring : NULL;

	if (e && (!e->id || !*e->name || strlen(e->name) >= TEXT_MAX))
		return err_image(err, "task %d: session keyring %u has the name '%.20s'",
				 th->ns_tid, e->id, e->name);
	return 0;
}

/* When the thread is that user. */
static void put(struct restore *r, struct restore_thread *th, struct program *p)
{
	const KeyringEntry *e = th->core->tc->session_keyring;

	if (e && e->user_linked)
		prog_syscall(p, "linking the user's keyring", PROG_STOP, SYS_keyctl,
			     PN(KEYCTL_LINK), PN(KEY_SPEC_USER_KEYRING),
			     PN(KEY_SPEC_SESSION_KEYRING));
}

const struct task_attr attr_keyring = {
	.name = "session keyring", .ask = ask, .capture = capture, .check = check, .put = put
};

/* ---- the builder ---- */

static int join(const KeyringEntry *e, struct err *err)
{
	bool nameless = strcmp(e->name, NAMELESS) == 0;
	const int ring = KEY_SPEC_SESSION_KEYRING;

	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nameless ? NULL : e->name) < 0)
		return err_sys(err, -errno, "making session keyring '%s'", e->name);
	/* one from outside of the user namespace is nobody's here */
	if ((e->uid != geteuid() || e->gid != getegid()) && e->uid != OVERFLOW_ID &&
	    syscall(SYS_keyctl, KEYCTL_CHOWN, ring, e->uid, e->gid) < 0)
		return err_sys(err, -errno, "giving session keyring '%s' to user %u", e->name,
			       e->uid);
	if (syscall(SYS_keyctl, KEYCTL_SETPERM, ring, e->perm) < 0)
		return err_sys(err, -errno, "setting the permissions of session keyring '%s'",
			       e->name);
	return 0;
}

int keyring_enter(struct restore *r, const struct restore_task *task, struct err *err)
{
	const CoreEntry *core = task->threads.n ? task->threads.v[0]->core : NULL;
	const KeyringEntry *e = core && core->tc ? core->tc->session_keyring : NULL;

	if ((!e && (task->dead || task->birth.helper)) || r->keyring == (e ? e->id : 0))
		return 0;
	r->keyring = e ? e->id : 0;
	/* the engine's is out of reach for one who has inherited another */
	if (!e && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
		return err_sys(err, -errno, "making a session keyring");
	return e ? join(e, err) : 0;
}
