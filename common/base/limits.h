/* SPDX-License-Identifier: MIT */
/* Every maximum of the product, with its reason (law: everything is bounded). */
#ifndef DP_BASE_LIMITS_H
#define DP_BASE_LIMITS_H

#define DP_KIB 1024ull
#define DP_MIB (1024 * DP_KIB)
#define DP_GIB (1024 * DP_MIB)

/* Names (nodes, streams, volumes, sites) appear in paths, metrics and messages. */
#define DP_NAME_MAX 63

/* One record's payload: large enough for streaming, small enough not to hold up a link. */
#define DP_PAYLOAD_MAX (1u << 20)

/* What sealing (proto/seal.h) adds to a payload, with one holder and with the most: the controller,
 * a mirror for each leg, and relays with a store on the way. */
#define DP_SEAL_HOLDERS_MAX 16
#define DP_SEAL_HOLDER_SIZE 48
#define DP_SEAL_MIN         (56 + DP_SEAL_HOLDER_SIZE)
#define DP_SEAL_MAX         (56 + DP_SEAL_HOLDER_SIZE * DP_SEAL_HOLDERS_MAX)

/* A trim or zero record covers at most this many bytes (its length field is 32 bits). */
#define DP_EXTENT_MAX (1u << 30)

/* Memory a stream keeps for records that are in flight, per node, and their count. */
#define DP_WINDOW_BYTES (64 * DP_MIB)

/* Records a node may hold in a journal: a record takes at least this many bytes of it. */
#define DP_JOURNAL_BYTES_PER_RECORD 1024u
#define DP_JOURNAL_SIZE_MIN         (16 * DP_MIB)
#define DP_JOURNAL_SIZE_MAX         (1024 * DP_GIB)

/* One group commit. Bounds the torn window that recovery has to look into. */
#define DP_GROUP_MAX (4 * DP_MIB)

/* Epochs remembered in a history, clients remembered for duplicate requests. */
#define DP_HISTORY_MAX 32
#define DP_CLIENTS_MAX 64

/* Downstream links of one stream at one node; volumes of one stream. */
#define DP_DOWN_MAX    8
#define DP_VOLUMES_MAX 64

/* Write sets listed per stream; older sets are merged into wider entries beyond it. */
#define DP_SETS_MAX 4096

/* Reads under way at once per stream; a further one waits at the host's door. */
#define DP_READS_MAX 1024

/* Requests of hosts under way at once per stream. */
#define DP_HOST_REQUESTS_MAX 4096

/* One line of the control socket: a topology, as JSON. And the version of what is asked and
 * answered there. */
#define DP_CONTROL_LINE_MAX (4 * DP_MIB)
#define DP_CONTROL_API      1

#endif
