/* The functions of frames.py, compiled; frames.py documents them and their arguments. Every length is checked before any
 * memory is touched, and nothing here can block. */
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { HEADER = 3, FRAME = 320, MESSAGE = HEADER + FRAME, READ = 8 * MESSAGE, BACKLOG = 25, EVEN_OUT_TICKS = 50 };

static const uint8_t AUDIO[HEADER] = {0x10, FRAME >> 8, FRAME & 0xff};

static int fits(Py_ssize_t lines, const Py_buffer *buffer, Py_ssize_t bytes_a_line) {
    if (buffer->len >= lines * bytes_a_line) return 1;
    PyErr_SetString(PyExc_ValueError, "a buffer is too short for so many lines");
    return 0;
}

static int would_wait(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

static PyObject *frames_send(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer fds, messages, odd;
    if (!PyArg_ParseTuple(args, "y*y*w*:send", &fds, &messages, &odd)) return NULL;
    const int32_t *fd = fds.buf;
    int32_t(*told)[2] = odd.buf;
    Py_ssize_t lines = fds.len / 4, count = 0;
    int good = fits(lines, &messages, MESSAGE) && fits(lines, &odd, 8);
    if (good) {
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t line = 0; line < lines; line++) {
            if (fd[line] < 0) continue;
            ssize_t written = write(fd[line], (const uint8_t *)messages.buf + line * MESSAGE, MESSAGE);
            if (written == MESSAGE) continue;
            told[count][0] = (int32_t)line;
            told[count++][1] = written >= 0 ? (int32_t)written : would_wait(errno) ? 0 : -1;
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&fds);
    PyBuffer_Release(&messages);
    PyBuffer_Release(&odd);
    return good ? PyLong_FromSsize_t(count) : NULL;
}

static int are_whole_frames(const uint8_t *data, ssize_t bytes) {
    if (bytes % MESSAGE) return 0;
    for (ssize_t at = 0; at < bytes; at += MESSAGE)
        if (memcmp(data + at, AUDIO, HEADER)) return 0;
    return 1;
}

static void keep(uint8_t *backlog, int32_t *held, const uint8_t *frame) {
    if (*held == BACKLOG) memmove(backlog, backlog + FRAME, (size_t)--*held * FRAME);
    memcpy(backlog + (ssize_t)(*held)++ * FRAME, frame, FRAME);
}

static PyObject *frames_read(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer fds, begun, backlog, held, odd, unread;
    if (!PyArg_ParseTuple(args, "y*y*w*w*w*w*:read", &fds, &begun, &backlog, &held, &odd, &unread)) return NULL;
    const int32_t *fd = fds.buf;
    const uint8_t *in_part = begun.buf;
    int32_t *frames = held.buf, (*told)[2] = odd.buf;
    uint8_t *rest = unread.buf, data[READ];
    Py_ssize_t lines = fds.len / 4, count = 0;
    int good = fits(lines, &begun, 1) && fits(lines, &backlog, BACKLOG * FRAME) && fits(lines, &held, 4) &&
               fits(lines, &odd, 8) && fits(lines, &unread, READ);
    for (Py_ssize_t line = 0; good && line < lines; line++)
        if (frames[line] < 0 || frames[line] > BACKLOG) {
            PyErr_SetString(PyExc_ValueError, "no backlog holds so many frames");
            good = 0;
        }
    if (good) {
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t line = 0; line < lines; line++) {
            if (fd[line] < 0) continue;
            ssize_t bytes = read(fd[line], data, READ);
            if (bytes < 0 && would_wait(errno)) continue;
            if (bytes > 0 && !in_part[line] && are_whole_frames(data, bytes)) {
                uint8_t *mine = (uint8_t *)backlog.buf + line * BACKLOG * FRAME;
                for (ssize_t at = 0; at < bytes; at += MESSAGE) keep(mine, &frames[line], data + at + HEADER);
                continue;
            }
            if (bytes > 0) {
                memcpy(rest, data, (size_t)bytes);
                rest += bytes;
            }
            told[count][0] = (int32_t)line;
            told[count++][1] = (int32_t)bytes;
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&fds);
    PyBuffer_Release(&begun);
    PyBuffer_Release(&backlog);
    PyBuffer_Release(&held);
    PyBuffer_Release(&odd);
    PyBuffer_Release(&unread);
    return good ? PyLong_FromSsize_t(count) : NULL;
}

static PyObject *frames_take(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer backlog, held, least, ticks, rows, came;
    if (!PyArg_ParseTuple(args, "w*w*w*w*w*w*:take", &backlog, &held, &least, &ticks, &rows, &came)) return NULL;
    int32_t *frames = held.buf, *fewest = least.buf, *since = ticks.buf;
    Py_ssize_t lines = held.len / 4;
    int good = fits(lines, &backlog, BACKLOG * FRAME) && fits(lines, &least, 4) && fits(lines, &ticks, 4) &&
               fits(lines, &rows, FRAME) && fits(lines, &came, 1);
    for (Py_ssize_t line = 0; good && line < lines; line++) {
        uint8_t *oldest = (uint8_t *)backlog.buf + line * BACKLOG * FRAME;
        int32_t left = frames[line] > 0 && frames[line] <= BACKLOG ? frames[line] - 1 : 0;
        ((uint8_t *)came.buf)[line] = frames[line] > 0;
        if (frames[line] > 0) memcpy((uint8_t *)rows.buf + line * FRAME, oldest, FRAME);
        size_t gone = 1;
        if (left < fewest[line]) fewest[line] = left;
        if (++since[line] >= EVEN_OUT_TICKS) {
            if (fewest[line] > 1) left--, gone++;
            fewest[line] = BACKLOG;
            since[line] = 0;
        }
        if (left) memmove(oldest, oldest + gone * FRAME, (size_t)left * FRAME);
        frames[line] = left;
    }
    PyBuffer_Release(&backlog);
    PyBuffer_Release(&held);
    PyBuffer_Release(&least);
    PyBuffer_Release(&ticks);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&came);
    if (!good) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"send", frames_send, METH_VARARGS, NULL},
    {"read", frames_read, METH_VARARGS, NULL},
    {"take", frames_take, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_frames", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__frames(void) { return PyModuleDef_Init(&definition); }
