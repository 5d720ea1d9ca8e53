/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/core/keeper.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORD_TAKEN = 't', WORD_PUT_BACK = 'p', WORD_FORGET = 'f' };

static _Noreturn void keep(const struct keeper_work *work, int sock)
{
	char word = WORD_TAKEN;

	prctl(PR_SET_NAME, "ckpt-keeper");
	/* no terminal of ours, whose signals would end us */
	setsid();
	signal(SIGPIPE, SIG_IGN);
	work->take(work->arg);
	if (write(sock, &word, 1) != 1 || read(sock, &word, 1) != 1 || word != WORD_FORGET)
		work->put_back(work->arg);
	_exit(0);
}

int keeper_start(struct keeper *ret, const struct keeper_work *work, struct err *err)
{
	char word;
	int sp[2];

	*ret = (struct keeper){ .socket = -EBADF };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sp) < 0)
		return err_sys(err, -errno, "making a socket");
	ret->pid = fork();
	if (ret->pid == 0) {
		close(sp[0]);
		keep(work, sp[1]);
	}
	close(sp[1]);
	ret->socket = sp[0];
	if (ret->pid < 0)
		return err_sys(err, -errno, "forking a process that holds %s", work->what);
	if (read(ret->socket, &word, 1) != 1)
		return err_sys(err, -EIO, "hearing from the process that holds %s", work->what);
	return 0;
}

void keeper_end(struct keeper *k, bool put_back)
{
	char word = put_back ? WORD_PUT_BACK : WORD_FORGET;

	if (k->socket >= 0) {
		(void)!send(k->socket, &word, 1, MSG_NOSIGNAL);
		close(k->socket);
	}
	while (k->pid > 0 && waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
