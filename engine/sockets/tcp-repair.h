/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a dump and a restore of TCP connections share. Only for tcp-*.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

struct net_flow;

/* Bits of a set of states. */
#define TCP_IN(state, set) ((set) >> (state)&1)

/* The queue to send ends in a FIN; of SECOND it was sent after that of the peer had come. */
#define TCP_FIN_SENT_FIRST (1u << 4 | 1u << 5 | 1u << 11) /* FIN_WAIT1, FIN_WAIT2, CLOSING */
#define TCP_FIN_SENT_SECOND (1u << 9 | 1u << 7)		  /* LAST_ACK, CLOSE */
#define TCP_FIN_SENT (TCP_FIN_SENT_FIRST | TCP_FIN_SENT_SECOND)
#define TCP_FIN_ACKED (1u << 5 | 1u << 7) /* FIN_WAIT2, CLOSE */
/* CLOSE_WAIT, LAST_ACK, CLOSING, CLOSE */
#define TCP_FIN_RECEIVED (1u << 8 | 1u << 9 | 1u << 11 | 1u << 7)

enum { TCP_STATE_SYN_SENT = 2, TCP_STATE_CLOSE = 7 };

/* Turns repair mode on or off. The kernel forgets SO_REUSEADDR then: reuse is set again. */
int tcp_repair(int sk, bool on, struct err *err);
int tcp_end_repair(int sk, bool reuse, struct err *err);

/* Chooses the queue (TCP_NO_QUEUE ...) that the next calls are about. */
int tcp_choose_queue(int sk, int queue, struct err *err);

/*
 * Sends the socket a packet without data, as if its peer had: flow is the socket's own view.
 * fin: with the FIN flag; always with ACK.
 */
int tcp_fake_packet(const struct net_flow *flow, uint32_t seq, uint32_t ack, uint16_t window,
		    bool fin, struct err *err);
