"""Video: ffmpeg on the workers, found or brought, fenced in, and faster with more of them.

    operations.py     OPERATIONS: what can be asked for, one file each (transcode, trim, thumbnail, ...)
    parameters.py     what parameters have in common; pydantic, the edge of this package
    work.py           what an operation gives: the runs of ffmpeg and what must come out of them
    picture.py, encode.py    sizes and filters, encoders and their settings: pure
    tool.py           which ffmpeg there is, and what it can do
    ffmpeg.py         the one module that runs it; launch.py and sandbox.py are what it runs it in
    sniff.py          which demuxer a file's first bytes allow, and the fence around it
    scan.py, media.py what a file holds: read by PyAV in a child process, no ffprobe
    chunks.py, cost.py    one encode as parts that are exact; where that pays
    request.py, pipeline.py    video as a kind of job; single.py and chunked.py are its two ways to work
    place.py, result.py    the folder a part works in; whether what came out is what had to

Arguments are built by ffmpeg-python; it never runs anything. Nothing a client sends reaches a command line
but numbers, words of a list, and files under names of ours. Must not know reports or imports.
"""
