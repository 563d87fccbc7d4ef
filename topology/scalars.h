/* SPDX-License-Identifier: MIT */
/* Values of the topology file that are one word: text -> model. Private to topology/.
 * Each returns false, and leaves *out alone, if the text is not such a value; `out` points to
 * the type named here. */
#ifndef DP_TOPOLOGY_SCALARS_H
#define DP_TOPOLOGY_SCALARS_H

#include "topology.h"

#define DP_TOPOLOGY_VERSION_TEXT "1"
#define DP_VOLUME_SIZE_MAX       (1024 * 1024 * DP_GIB)
#define DP_BANDWIDTH_MAX         1000000000000000ull /* 1 Pbit/s; exact as a double */
#define DP_DISTANCE_MAX_M        1e8                 /* far more than around the globe */

bool dp_scalar_version(const char *text, void *out);     /* nothing is stored */
bool dp_scalar_name(const char *text, void *out);        /* char[DP_NAME_MAX + 1] */
bool dp_scalar_listen(const char *text, void *out);      /* char[DP_ADDRESS_MAX + 1] */
bool dp_scalar_directory(const char *text, void *out);   /* char[DP_PATH_MAX + 1] */
bool dp_scalar_key(const char *text, void *out);         /* char[DP_KEY_TEXT + 1] */
bool dp_scalar_bool(const char *text, void *out);        /* bool */
bool dp_scalar_distance(const char *text, void *out);    /* double */
bool dp_scalar_round_trip(const char *text, void *out);  /* uint64_t, microseconds */
bool dp_scalar_bandwidth(const char *text, void *out);   /* uint64_t */
bool dp_scalar_rate(const char *text, void *out);        /* uint64_t, bits a second */
bool dp_scalar_hours(const char *text, void *out);       /* struct dp_hours */
bool dp_scalar_interval(const char *text, void *out);    /* uint64_t, microseconds */
bool dp_scalar_window(const char *text, void *out);      /* uint64_t */
bool dp_scalar_journal(const char *text, void *out);     /* uint64_t */
bool dp_scalar_read_cache(const char *text, void *out);  /* uint64_t */
bool dp_scalar_resync_rate(const char *text, void *out); /* uint64_t */
bool dp_scalar_volume_size(const char *text, void *out); /* uint64_t */
bool dp_scalar_high_water(const char *text, void *out);  /* unsigned */
bool dp_scalar_count(const char *text, void *out);       /* unsigned, from 1 */
bool dp_scalar_connections(const char *text, void *out); /* unsigned */
bool dp_scalar_latitude(const char *text, void *out);    /* double */
bool dp_scalar_longitude(const char *text, void *out);   /* double */
bool dp_scalar_rights(const char *text, void *out);
bool dp_scalar_role(const char *text, void *out);      /* enum dp_role */
bool dp_scalar_stage(const char *text, void *out);     /* enum dp_stage */
bool dp_scalar_flush(const char *text, void *out);     /* enum dp_stage */
bool dp_scalar_retain(const char *text, void *out);    /* enum dp_retain */
bool dp_scalar_seal(const char *text, void *out);      /* enum dp_seal_cipher */
bool dp_scalar_local(const char *text, void *out);     /* enum dp_local */
bool dp_scalar_when_full(const char *text, void *out); /* enum dp_when_full */

#endif
