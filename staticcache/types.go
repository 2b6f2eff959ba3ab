package staticcache

import (
	"net/http"
	"path"
	"strings"
)

// contentType names the media type by the file's extension, or failing that by its first bytes.
// The table is built in, so that the result is the same on every machine.
func contentType(name string, start []byte) string {
	if t := typeByExtension(extension(name)); t != "" {
		return t
	}
	return passiveType(start)
}

// passiveType names the media type by the first bytes. What a visitor has uploaded under any name must not become a page
// of the site, with its scripts: only types that browsers show without running anything are found.
func passiveType(start []byte) string {
	switch t := http.DetectContentType(start); {
	case strings.HasPrefix(t, "text/html"), strings.HasPrefix(t, "text/xml"):
		return "text/plain; charset=utf-8"
	case strings.HasPrefix(t, "text/plain"), strings.HasPrefix(t, "image/"), strings.HasPrefix(t, "audio/"),
		strings.HasPrefix(t, "video/"), strings.HasPrefix(t, "font/"):
		return t
	}
	return "application/octet-stream"
}

func extension(name string) string { return strings.ToLower(path.Ext(name)) }

func typeByExtension(ext string) string {
	switch ext {
	case ".html", ".htm", ".shtml":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js", ".mjs": // RFC 9239
		return "text/javascript; charset=utf-8"
	case ".txt", ".text", ".log", ".conf", ".ini":
		return "text/plain; charset=utf-8"
	case ".md", ".markdown":
		return "text/markdown; charset=utf-8"
	case ".csv":
		return "text/csv; charset=utf-8"
	case ".tsv":
		return "text/tab-separated-values; charset=utf-8"
	case ".ics":
		return "text/calendar; charset=utf-8"
	case ".vcf":
		return "text/vcard; charset=utf-8"
	case ".vtt":
		return "text/vtt; charset=utf-8"
	case ".xml", ".xsl", ".xsd":
		return "text/xml; charset=utf-8"
	case ".json", ".map", ".topojson": // JSON is UTF-8 by definition and has no charset (RFC 8259 section 11)
		return "application/json"
	case ".jsonld":
		return "application/ld+json"
	case ".geojson":
		return "application/geo+json"
	case ".webmanifest":
		return "application/manifest+json"
	case ".yaml", ".yml":
		return "application/yaml"
	case ".toml":
		return "application/toml"
	case ".rss":
		return "application/rss+xml; charset=utf-8"
	case ".atom":
		return "application/atom+xml; charset=utf-8"
	case ".xhtml":
		return "application/xhtml+xml; charset=utf-8"
	case ".wasm":
		return "application/wasm"
	}
	if t := imageType(ext); t != "" {
		return t
	}
	if t := soundOrFilmType(ext); t != "" {
		return t
	}
	return documentType(ext)
}

func imageType(ext string) string {
	switch ext {
	case ".svg":
		return "image/svg+xml; charset=utf-8"
	case ".svgz":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".apng":
		return "image/apng"
	case ".jpg", ".jpeg", ".jfif":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	case ".avif":
		return "image/avif"
	case ".heic":
		return "image/heic"
	case ".jxl":
		return "image/jxl"
	case ".bmp":
		return "image/bmp"
	case ".ico", ".cur":
		return "image/x-icon"
	case ".tif", ".tiff":
		return "image/tiff"
	}
	return ""
}

func soundOrFilmType(ext string) string {
	switch ext {
	case ".mp3":
		return "audio/mpeg"
	case ".m4a":
		return "audio/mp4"
	case ".aac":
		return "audio/aac"
	case ".ogg", ".oga", ".opus":
		return "audio/ogg"
	case ".wav":
		return "audio/wav"
	case ".flac":
		return "audio/flac"
	case ".weba":
		return "audio/webm"
	case ".mid", ".midi":
		return "audio/midi"
	case ".mp4", ".m4v":
		return "video/mp4"
	case ".webm":
		return "video/webm"
	case ".ogv":
		return "video/ogg"
	case ".mov":
		return "video/quicktime"
	case ".mpeg", ".mpg":
		return "video/mpeg"
	case ".avi":
		return "video/x-msvideo"
	case ".mkv":
		return "video/x-matroska"
	case ".ts":
		return "video/mp2t"
	case ".m3u8":
		return "application/vnd.apple.mpegurl"
	case ".mpd":
		return "application/dash+xml"
	}
	return ""
}

func documentType(ext string) string {
	switch ext {
	case ".pdf":
		return "application/pdf"
	case ".epub":
		return "application/epub+zip"
	case ".rtf":
		return "application/rtf"
	case ".doc":
		return "application/msword"
	case ".docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case ".xls":
		return "application/vnd.ms-excel"
	case ".xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case ".ppt":
		return "application/vnd.ms-powerpoint"
	case ".pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case ".odt":
		return "application/vnd.oasis.opendocument.text"
	case ".ods":
		return "application/vnd.oasis.opendocument.spreadsheet"
	case ".woff":
		return "font/woff"
	case ".woff2":
		return "font/woff2"
	case ".ttf":
		return "font/ttf"
	case ".otf":
		return "font/otf"
	case ".eot":
		return "application/vnd.ms-fontobject"
	case ".zip":
		return "application/zip"
	case ".gz", ".tgz":
		return "application/gzip"
	case ".br":
		return "application/x-brotli"
	case ".zst":
		return "application/zstd"
	case ".bz2":
		return "application/x-bzip2"
	case ".xz":
		return "application/x-xz"
	case ".7z":
		return "application/x-7z-compressed"
	case ".tar":
		return "application/x-tar"
	case ".rar":
		return "application/vnd.rar"
	case ".jar":
		return "application/java-archive"
	case ".apk":
		return "application/vnd.android.package-archive"
	case ".bin", ".exe", ".dll", ".deb", ".rpm", ".iso", ".img", ".dmg", ".msi":
		return "application/octet-stream"
	}
	return ""
}
