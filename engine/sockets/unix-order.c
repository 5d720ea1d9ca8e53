/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order of unix sockets in files.img. CRIU finds the other end of a socket among those that it
 * has read before, unless both are each other's; so a socket is written after the one that it is
 * connected to. There are no circles: the kernel connects to none that is connected to a third.
 */
#include "engine/core/dump.h"
#include "engine/files/kinds.h"
#include "engine/sockets/unix-priv.h"
#include "proto/files.pb-c.h"

int unix_write_in_order(struct dump *d, struct tree_socket *s, struct tree_socket *peer,
			const FileEntry *fe, struct err *err)
{
	struct tree_socket *ready = s, *last = s;
	int r = 0;

	s->held = fe;
	if (peer && !peer->written) {
		s->next_waiting = peer->waiting;
		peer->waiting = s;
		return 0;
	}
	s->next_waiting = NULL;
	while (ready && r == 0) {
		r = files_write_entry(d, ready->held, err);
		ready->written = true;
		ready->held = NULL;
		last->next_waiting = ready->waiting;
		while (last->next_waiting)
			last = last->next_waiting;
		ready = ready->next_waiting;
	}
	return r;
}
