/* SPDX-License-Identifier: MIT */
/* The NBD disk: an nbdkit plugin on libdipole. One client per NBD connection; nbdkit's threads
 * read their own replies, so a request costs no hand-over between threads. A controller that
 * restarts is ridden out here: NBD clients have no request timeout and simply wait. */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dipole.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define BLOCK_PREFERRED 4096
#define BLOCK_MAX       (32u << 20) /* what NBD clients expect any server to take */
#define LIST_TIMEOUT_MS 2000

static char *socket_path;
static const char *default_volume;

static void plugin_unload(void)
{
	free(socket_path);
}

static int plugin_config(const char *key, const char *value)
{
	if (strcmp(key, "socket") == 0) {
		free(socket_path);
		socket_path = nbdkit_absolute_path(value);
		return socket_path ? 0 : -1;
	}
	if (strcmp(key, "volume") == 0) {
		default_volume = nbdkit_strdup_intern(value);
		return default_volume ? 0 : -1;
	}
	nbdkit_error("unknown parameter '%s'", key);
	return -1;
}

static int plugin_config_complete(void)
{
	if (socket_path)
		return 0;
	nbdkit_error("socket=PATH is required: the controller's socket for hosts");
	return -1;
}

#define plugin_config_help                                                                         \
	"socket=PATH  (required) The controller's socket for hosts.\n"                             \
	"volume=NAME             Volume for clients that name no export."

static void plugin_dump_plugin(void)
{
	printf("dipole_library_version=%s\n", dipole_version());
}

static char **list_volumes(void)
{
	char **names;
	int error = dipole_list_volumes(socket_path, LIST_TIMEOUT_MS, &names);
	if (!error)
		return names;
	nbdkit_error("the controller at %s does not list its volumes: %s", socket_path,
		strerror(error));
	return NULL;
}

static int plugin_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
	int result = 0;
	char **names = list_volumes();
	(void)readonly;
	(void)is_tls;
	if (!names)
		return -1;
	for (char **name = names; *name && result == 0; name++)
		result = nbdkit_add_export(exports, *name, NULL);
	free(names);
	return result;
}

/* NULL: there is none, or several to choose from. */
static const char *find_default(void)
{
	if (default_volume)
		return default_volume;
	char **names = list_volumes();
	const char *only = names && names[0] && !names[1] ? nbdkit_strdup_intern(names[0]) : NULL;
	free(names);
	return only;
}

static const char *plugin_default_export(int readonly, int is_tls)
{
	(void)readonly;
	(void)is_tls;
	return find_default();
}

/* In the waiting thread: notices that nbdkit ends or the NBD client has gone. */
static int is_interrupted(void *arg)
{
	(void)arg;
	return nbdkit_nanosleep(0, 1) != 0;
}

static void *plugin_open(int readonly)
{
	char message[512] = "";
	struct dipole_options options = {
		.message = message,
		.message_size = sizeof message,
		.interrupted = is_interrupted,
	};
	struct dipole_client *client;
	const char *volume = nbdkit_export_name();
	(void)readonly;
	if (volume && !*volume)
		volume = find_default();
	if (!volume) {
		nbdkit_error("name a volume as the export: the controller at %s has no or several",
			socket_path);
		return NULL;
	}
	if (dipole_connect(socket_path, volume, &options, &client)) {
		nbdkit_error("%s", message);
		return NULL;
	}
	return client;
}

static void plugin_close(void *handle)
{
	dipole_close(handle);
}

static int64_t plugin_get_size(void *handle)
{
	return (int64_t)dipole_size(handle);
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
	uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = BLOCK_PREFERRED;
	*maximum = BLOCK_MAX;
	return 0;
}

static int yes(void *handle)
{
	(void)handle;
	return 1;
}

static int no(void *handle)
{
	(void)handle;
	return 0;
}

static int plugin_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

static struct dipole_call call_of(uint32_t flags)
{
	return (struct dipole_call){
		.flags = flags & NBDKIT_FLAG_FUA ? DIPOLE_FUA : 0,
		.interrupted = is_interrupted,
	};
}

/* Errors that NBD has no number for would reach the client as EINVAL. */
static int result(int error)
{
	switch (error) {
	case 0:
		return 0;
	case EPERM:
	case EINVAL:
	case ENOSPC:
	case ESHUTDOWN:
		break;
	default:
		error = EIO;
	}
	nbdkit_set_error(error);
	errno = error;
	return -1;
}

static int plugin_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct dipole_call call = call_of(flags);
	return result(dipole_pread(handle, buffer, count, offset, &call));
}

static int plugin_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset,
	uint32_t flags)
{
	struct dipole_call call = call_of(flags);
	return result(dipole_pwrite(handle, buffer, count, offset, &call));
}

static int plugin_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct dipole_call call = call_of(flags);
	return result(dipole_trim(handle, count, offset, &call));
}

/* A zero record is as fast as a trim, with or without leave to punch holes. */
static int plugin_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct dipole_call call = call_of(flags);
	return result(dipole_zero(handle, count, offset, &call));
}

static int plugin_flush(void *handle, uint32_t flags)
{
	struct dipole_call call = call_of(flags);
	return result(dipole_flush(handle, &call));
}

static struct nbdkit_plugin plugin = {
	.name = "dipole",
	.longname = "dipole mirrored volumes",
	.description = "Volumes of a dipole controller, mirrored to remote sites.",
	.version = DIPOLE_VERSION,
	.unload = plugin_unload,
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.config_help = plugin_config_help,
	.dump_plugin = plugin_dump_plugin,
	.list_exports = plugin_list_exports,
	.default_export = plugin_default_export,
	.open = plugin_open,
	.close = plugin_close,
	.get_size = plugin_get_size,
	.block_size = plugin_block_size,
	.can_write = yes,
	.can_flush = yes,
	.can_trim = yes,
	.can_zero = yes,
	.can_fast_zero = yes,
	.can_fua = plugin_can_fua,
	.can_multi_conn = yes,
	.is_rotational = no,
	.pread = plugin_pread,
	.pwrite = plugin_pwrite,
	.trim = plugin_trim,
	.zero = plugin_zero,
	.flush = plugin_flush,
	.errno_is_preserved = 1,
};

struct nbdkit_plugin *plugin_init(void); /* the macro declares none */
NBDKIT_REGISTER_PLUGIN(plugin)
